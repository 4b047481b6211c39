// The name of a control that a screen reader says holds the words that others
// see, so that people who speak to their browser can say these.
"use strict";

for (const control of document.querySelectorAll(
  "button[aria-label], a[aria-label], label[aria-label]",
)) {
  const seen = control.innerText.trim().replace(/\s+/g, " ");
  const said = control.ariaLabel;
  if (!seen || said.toLowerCase().includes(seen.toLowerCase())) continue;
  const more = seen.toLowerCase().startsWith(said.toLowerCase());
  control.ariaLabel = more ? seen : `${seen}, ${said}`;
}

// The words of a folded cell change when it is opened; they name it best.
for (const fold of document.querySelectorAll("summary[aria-label]")) {
  fold.removeAttribute("aria-label");
}

// Entries of a bibliography are no items of a list to a screen reader.
document.querySelector(".citation-list")?.removeAttribute("role");

// The icon within a named button has a title of its own, with other words. The
// theme turns icons into pictures while the page loads.
function silence() {
  const icons = "button[aria-label] > :is(i, svg)";
  for (const icon of document.querySelectorAll(icons)) {
    icon.removeAttribute("title");
    icon.removeAttribute("aria-labelledby");
    icon.querySelector("title")?.remove();
  }
}
silence();
addEventListener("load", silence);
