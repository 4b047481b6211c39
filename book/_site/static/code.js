// One button shows or hides the code of all cells; the choice is remembered
// for all pages. Without a choice, only cells that draw are folded.
"use strict";

const CODE = "book-code";

function remembered() {
  try {
    return localStorage.getItem(CODE);
  } catch {
    return null; // storage is refused: the choice lasts for this page
  }
}

function remember(choice) {
  try {
    localStorage.setItem(CODE, choice);
  } catch {
    // See above.
  }
}

function apply(choice, button) {
  document.documentElement.dataset.code = choice ?? "";
  const shown = choice === "shown";
  for (const fold of document.querySelectorAll("div.cell details.hide")) {
    if (choice) fold.open = shown;
  }
  button.textContent = shown ? "Hide all code" : "Show all code";
  button.ariaPressed = String(shown);
}

const inputs = document.querySelectorAll("div.cell div.cell_input");
const title = document.querySelector(".bd-article h1");
if (inputs.length && title) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "code-button" });
  let choice = remembered();
  button.addEventListener("click", () => {
    choice = choice === "shown" ? "hidden" : "shown";
    remember(choice);
    apply(choice, button);
  });
  title.after(button);
  apply(choice, button);
}
