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
      actions: { export: true, source: false, compiled: false, editor: false },
    });
    figure.vegaView = view;
    await recolour(view);
    await shrink(view, spec, figure);
    label(view, figure);
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
addEventListener("beforeprint", () => figures.forEach(draw));
new MutationObserver(() =>
  figures.forEach(({ vegaView }) => vegaView && recolour(vegaView)),
).observe(document.documentElement, { attributeFilter: ["data-theme"] });
