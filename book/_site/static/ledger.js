// Filters above the ledger of claims, and its rows to take along. Charts.js,
// which every page with a ledger loads before, writes CSV and saves files.
"use strict";

const FILTERS = ["paper", "verdict", "protocol", "page"];

function option(value, text = value) {
  return Object.assign(document.createElement("option"), { value, text });
}

// A choice of the values that some row has, in the order of the rows.
function chooser(name, rows) {
  const label = document.createElement("label");
  const select = document.createElement("select");
  select.name = name;
  const values = new Set(rows.map((row) => row.dataset[name]).filter(Boolean));
  select.append(option("", "all"), ...[...values].map((v) => option(v)));
  label.append(name, select);
  return label;
}

function equip(table) {
  const rows = [...table.tBodies[0].rows];
  const facts = JSON.parse(table.nextElementSibling.textContent);
  const form = document.createElement("form");
  form.className = "ledger-tools";
  form.ariaLabel = "Choose claims";
  const shown = document.createElement("output");

  const chosen = () => facts.filter((_, i) => !rows[i].hidden);
  const apply = () => {
    const wanted = FILTERS.map((name) => [name, form.elements[name].value]);
    for (const row of rows) {
      row.hidden = wanted.some(([n, v]) => v && row.dataset[n] !== v);
    }
    shown.textContent = `${chosen().length} of ${rows.length} claims`;
  };
  const actions = {
    "Show all": () => (form.reset(), apply()),
    CSV: () => {
      const data = { datasets: { rows: chosen() }, data: { name: "rows" } };
      saveText("claims.csv", csv(data), "text/csv");
    },
    JSON: () =>
      saveText(
        "claims.json",
        JSON.stringify(chosen(), null, 1),
        "application/json",
      ),
  };
  form.append(...FILTERS.map((name) => chooser(name, rows)));
  for (const [text, act] of Object.entries(actions)) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: text });
    if (text !== "Show all") button.ariaLabel = `Save these claims as ${text}`;
    button.addEventListener("click", act);
    form.append(button);
  }
  form.append(shown);
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  table.before(form);
  apply();
}

document.querySelectorAll("table.ledger").forEach(equip);
