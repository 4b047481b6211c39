// Draws the Vega-Lite charts of a page when they come into view, in the
// colours of the theme, no wider than the text. `figure.vegaView` is the
// running view; `data-state` is `done` or `error`.
"use strict";

const INK = {
  theme_fg: "--pst-color-text-base",
  theme_muted: "--pst-color-text-muted",
  theme_grid: "--book-grid",
};

function signals() {
  const root = document.documentElement;
  const style = getComputedStyle(root);
  const value = (variable) => style.getPropertyValue(variable).trim();
  const ink = Object.entries(INK).map(([name, v]) => [name, value(v)]);
  return [...ink, ["theme_dark", root.dataset.theme === "dark"]];
}

function recolour(view) {
  for (const [name, value] of signals()) {
    try {
      view.signal(name, value);
    } catch {
      // A chart that uses no such colour has no such signal.
    }
  }
  return view.runAsync();
}

// Tables travel by columns, names as positions in a list of levels.
function unpack(columns) {
  if (Array.isArray(columns)) return columns;
  const fields = Object.entries(columns).map(([name, column]) => [
    name,
    column.values ?? column.codes.map((code) => column.levels[code]),
  ]);
  const { length } = fields[0][1];
  return Array.from({ length }, (_, i) =>
    Object.fromEntries(fields.map(([name, values]) => [name, values[i]])),
  );
}

// Panels go below each other where two do not fit.
function stack(spec, room) {
  if (spec.facet && spec.columns && room < 600) spec.columns = 1;
}

// Shrink a chart of fixed size to the room it has, at the same proportions.
async function shrink(view, spec, figure) {
  const drawn = figure.querySelector("svg.marks, canvas.marks");
  const panel = spec.spec ?? spec;
  const columns = spec.facet ? spec.columns ?? 1 : 1;
  const excess = drawn.clientWidth - figure.clientWidth;
  if (excess <= 0 || typeof panel.width !== "number") return;
  const width = Math.max(120, panel.width - Math.ceil(excess / columns));
  const height = Math.round((panel.height * width) / panel.width);
  if (spec.facet) {
    view.signal("child_width", width).signal("child_height", height);
  } else {
    view.width(width).height(height);
  }
  await view.resize().runAsync();
}

// A slider moves over positions: show and say the value chosen instead.
function label(view, figure) {
  for (const bind of figure.querySelectorAll(".vega-bind")) {
    const input = bind.querySelector("input, select");
    input.ariaLabel = bind.querySelector(".vega-bind-name").textContent;
    const shown = bind.querySelector("input ~ span");
    const chosen = input.name.replace(/^choose_/, "chosen_");
    if (!shown || chosen === input.name) continue;
    const say = () => {
      input.ariaValueText = shown.textContent = view.signal(chosen);
    };
    view.addSignalListener(chosen, () => setTimeout(say));
    say();
  }
}

// The rows that a chart draws, with the names of their columns in the table.
function drawn(spec) {
  const tables = spec.datasets ?? {};
  const rows =
    tables[spec.data?.name] ??
    Object.values(tables).reduce((a, b) => (b.length > a.length ? b : a), []);
  // `_low` is the band's own `low`, where a table has both.
  const own = (name) => name.replace(/^_/, "");
  const fields = Object.keys(rows[0] ?? {}).filter(
    (name) => name !== "_row" && (own(name) === name || !(own(name) in rows[0])),
  );
  const texts = rows.map((row) => fields.map((f) => String(row[f] ?? "")));
  return [fields.map(own), ...texts];
}

function csv(spec) {
  const cell = (text) =>
    /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const lines = drawn(spec).map((row) => row.map(cell).join(","));
  return [...lines, ""].join("\n");
}

// The rows as a table below the figure, for those who cannot point at marks.
const MOST = 2000;
function table(spec, label) {
  const [head, ...rows] = drawn(spec);
  const box = document.createElement("div");
  Object.assign(box, { className: "figure-rows", tabIndex: 0, role: "region" });
  box.ariaLabel = label;
  const grid = document.createElement("table");
  const line = grid.createTHead().insertRow();
  for (const name of head) {
    const cell = document.createElement("th");
    Object.assign(cell, { scope: "col", textContent: name });
    line.append(cell);
  }
  const body = grid.createTBody();
  for (const row of rows.slice(0, MOST)) {
    const line = body.insertRow();
    for (const text of row) line.insertCell().textContent = text;
  }
  box.append(grid);
  if (rows.length > MOST) {
    box.append(`The first ${MOST} of ${rows.length} rows; CSV has them all.`);
  }
  return box;
}

function save(name, url) {
  const link = document.createElement("a");
  Object.assign(link, { href: url, download: name }).click();
}

function saveText(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  save(name, url);
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// What takes a figure along: its address, its rows, its picture.
function tools(figure, view, spec) {
  const page = location.pathname.split("/").pop().replace(/\.html$/, "");
  const name = `${page}-${figure.id}`;
  const address = new URL(`#${figure.id}`, location.href).href;
  const actions = {
    "Copy link": async (button) => {
      location.hash = figure.id;
      await navigator.clipboard?.writeText(address);
      button.textContent = navigator.clipboard ? "Copied" : "In the address";
      setTimeout(() => (button.textContent = "Copy link"), 2000);
    },
    CSV: () => saveText(`${name}.csv`, figure.csv(), "text/csv"),
    PNG: async () => save(`${name}.png`, await view.toImageURL("png", 2)),
    SVG: async () =>
      saveText(`${name}.svg`, await view.toSVG(), "image/svg+xml"),
    Table: (button) => {
      const shown = figure.querySelector(".figure-rows");
      button.ariaExpanded = String(!shown);
      if (shown) return shown.remove();
      figure.append(table(spec, `${number}: rows`));
    },
  };
  const bar = document.createElement("span");
  bar.className = "figure-tools";
  const number = figure.querySelector(".figure-number").textContent;
  for (const [text, act] of Object.entries(actions)) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: text });
    button.ariaLabel = `${number}: ${text}`;
    if (text === "Table") button.ariaExpanded = "false";
    button.addEventListener("click", () => act(button));
    bar.append(button);
  }
  figure.querySelector("figcaption").append(bar);
}

async function draw(figure) {
  if (figure.dataset.state) return;
  figure.dataset.state = "drawing";
  const target = figure.querySelector(".vl-view");
  try {
    const source = figure.querySelector('script[type="application/json"]');
    const spec = JSON.parse(source.textContent);
    for (const [name, columns] of Object.entries(spec.datasets ?? {})) {
      spec.datasets[name] = unpack(columns);
    }
    stack(spec, figure.clientWidth);
    const { view } = await vegaEmbed(target, spec, {
      renderer: spec.usermeta.renderer,
      actions: false,
    });
    figure.vegaView = view;
    figure.csv = () => csv(spec);
    await recolour(view);
    await shrink(view, spec, figure);
    label(view, figure);
    tools(figure, view, spec);
    figure.dataset.state = "done";
  } catch (error) {
    figure.dataset.state = "error";
    target.textContent = `This chart could not be drawn: ${error.message}`;
    target.setAttribute("role", "alert");
  }
}

const figures = [...document.querySelectorAll("figure.vl-chart")];
const seen = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      draw(target);
    }
  },
  { rootMargin: "400px" },
);
figures.forEach((figure) => seen.observe(figure));

// All charts of the page, also those that nobody scrolled to.
function drawAll() {
  return Promise.all(
    figures.filter((figure) => figure.checkVisibility()).map(draw),
  );
}

// A print does not wait for charts: they are drawn before, in idle moments.
const idle = window.requestIdleCallback ?? ((act) => setTimeout(act, 200));
async function drawRest() {
  for (const figure of figures) {
    await new Promise((next) => idle(next));
    if (figure.checkVisibility()) await draw(figure);
  }
}
addEventListener("load", drawRest);

// Paper is white, whatever the theme.
let screen = null;
addEventListener("beforeprint", () => {
  const { dataset } = document.documentElement;
  screen = dataset.theme;
  dataset.theme = "light";
  drawAll();
  figures.forEach(({ vegaView }) => vegaView && recolour(vegaView));
});
addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = screen;
});
new MutationObserver(() =>
  figures.forEach(({ vegaView }) => vegaView && recolour(vegaView)),
).observe(document.documentElement, { attributeFilter: ["data-theme"] });
