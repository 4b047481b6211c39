"""The lines of untrained models beside those of a chart."""

import json
import math
from pathlib import Path
from typing import Any

import altair as alt
import nbformat
import pandas as pd
import pytest
import vl_convert

from helpers import charts
from helpers.charts import untrained
from helpers.claims import other_weights
from helpers.runtime.paths import DATA

TEXT = "A made-up chart of accuracy against depth."
PAGE = {"model": "lab/vit_cls", "num_images": 4}
KEPT = sorted((DATA / "results" / "controls").glob("*.json"))


@pytest.fixture(autouse=True)
def _in_the_book(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("BOOK_BUILD", "1")
    before = alt.renderers.active
    charts.setup()
    yield
    alt.renderers.enable(before)


def curves(*models: str, up: float = 0.0, **more: Any) -> pd.DataFrame:
    rows = [
        {"model": name, "depth": d / 3, "accuracy": up + i / 10 + d / 5}
        for i, name in enumerate(models)
        for d in range(4)
    ]
    return pd.DataFrame(rows).assign(**more)


def executed(*drawn: Any) -> nbformat.NotebookNode:
    """Make a notebook as the runner leaves it."""
    outputs = [
        nbformat.v4.new_output(
            "display_data", alt.renderers.get()(c.to_dict())
        )
        for c in drawn
    ]
    text = nbformat.v4.new_output("stream", text="words")
    cells = [
        nbformat.v4.new_markdown_cell("Prose."),
        nbformat.v4.new_code_cell("draw()", outputs=[text, *outputs]),
    ]
    return nbformat.v4.new_notebook(cells=cells)


def line(values: str) -> str:
    """Write four values at the depths of `curves`."""
    depths = ("0", "0.333333", "0.666667", "1")
    pairs = zip(depths, values.split(), strict=True)
    return " ".join(f"{depth}:{value}" for depth, value in pairs)


def test_lines_against_depth_are_read_back_from_an_executed_page() -> None:
    table = pd.DataFrame(
        {
            "block": [0, 1, 0, 1, 0, 1],
            "skill": [0.123456, math.nan, -2.0, 0.25, 0.5, 12345.6],
            "series": ["a?random=100, b?random=101"] * 2
            + ["a?random=100 (intact: 0.71)"] * 4,
            "panel": ["p"] * 4 + ["q"] * 2,
            "factor": ["hue"] * 6,
        }
    )
    drawn = charts.lines(
        table,
        x="block",
        y="skill",
        color="series",
        facet="panel",
        choose="factor",
        description="All that a chart\n can tell apart.",
    )
    assert untrained.lines_in(executed(drawn)) == {
        "All that a chart can tell apart.": {
            "p; hue; a, b": "0:0.1235 1:nan",
            "p; hue; a": "0:-2 1:0.25",
            "q; hue; a": "0:0.5 1:1.235e+04",
        }
    }


def test_what_is_no_line_against_depth_is_not_kept() -> None:
    table = curves("mae", step=3, layer="out")
    sizes = charts.lines(table.assign(step=table.depth), x="step",
                         y="accuracy", description=TEXT)  # fmt: skip
    named = charts.lines(
        table.iloc[:1], x="layer", y="accuracy", description=TEXT
    )
    bars = charts.bars(table.iloc[:1], x="accuracy", description=TEXT)
    assert untrained.lines_in(executed(sizes, named, bars)) == {}
    assert untrained.lines_in(executed()) == {}


def test_lines_that_cannot_be_told_apart_are_not_kept() -> None:
    both = curves("vit_cls?random=101", "vit_cls?random=102")
    twice = charts.lines(both, y="accuracy", description=TEXT)
    assert untrained.lines_in(executed(twice)) == {}
    one = charts.lines(curves("mae"), y="accuracy", description=TEXT)
    assert untrained.lines_in(executed(one)).keys() == {TEXT}
    assert untrained.lines_in(executed(one, one, one)) == {}


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Keep draws of a page, and run with its parameters."""
    monkeypatch.setattr(other_weights, "FOLDER", tmp_path)

    def write(*draws: Any, page: str = "mixers", running: Any = PAGE) -> None:
        empty = dict.fromkeys(other_weights.RUN_KEYS, "") | {"claims": {}}
        runs = {
            str(i): empty | {"curves": found} for i, found in enumerate(draws)
        }
        runs["9"] = empty  # of a version that kept no curves
        content = {"page": page, "parameters": PAGE, "runs": runs}
        path = tmp_path / "controls" / f"{page}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
        shell = type("Shell", (), {"user_ns": running})
        monkeypatch.setattr(
            "IPython.core.getipython.get_ipython", lambda: shell
        )

    return write


TRAINED = curves("vit_cls (intact: 0.71)", "mae", se=0.01)


def draw(first: str, second: str) -> dict[str, Any]:
    """One draw of untrained weights, by its values for two models."""
    return {TEXT: {"mae": line(second), "vit_cls": line(first)}}


TWO = (
    draw("0.1 0.1 0.2 0.2", "1.5 0 0 nan"),
    draw("0.3 0.1 0.4 0.2", "0.5 1 0 0"),
)
MEANS = [0.2, 0.1, 0.3, 0.2, 1.0, 0.5, 0.0, None]


def drawn(table: pd.DataFrame = TRAINED, **how: Any) -> dict[str, Any]:
    given = {"y": "accuracy", "description": TEXT, "title": "T"} | how
    spec: dict[str, Any] = charts.lines(table, **given).to_dict(validate=True)
    return spec


def grey(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Find the layers that are drawn from the untrained column."""
    layers = spec.get("spec", spec)["layer"]
    found = [v["encoding"].get("y", {}).get("field") for v in layers]
    return [v for v, y in zip(layers, found, strict=True) if y == "_untrained"]


def test_a_chart_draws_untrained_models_thin_and_grey(keep: Any) -> None:
    keep(*TWO, running=PAGE | {"more": 1})
    spec = drawn()
    (layer,) = grey(spec)
    assert layer["mark"]["type"] == "line"
    assert layer["mark"]["strokeWidth"] == 1
    encoding = layer["encoding"]
    assert encoding["color"] == {"value": {"expr": "theme_muted"}}
    assert encoding["detail"]["field"] == "model"
    rows = spec["datasets"][spec["data"]["name"]]
    assert [row["_untrained"] for row in rows] == pytest.approx(MEANS)
    high = spec["layer"][-1]["encoding"]["y"]["scale"]["domain"][1]
    assert high == pytest.approx(1.0)  # of the untrained line
    assert spec["title"]["subtitle"] == ["thin grey lines: untrained"]
    assert spec["description"].startswith(f"{TEXT} Thin grey lines: the same")
    tips = spec["layer"][-1]["encoding"]["tooltip"]
    assert "untrained" in [tip["title"] for tip in tips]
    picture = vl_convert.vegalite_to_svg(spec)
    alone = vl_convert.vegalite_to_svg(drawn(description=f"{TEXT} Other."))
    assert picture.count("mark-line") == 2 * alone.count("mark-line")


def test_every_panel_and_choice_has_its_own_untrained_lines(keep: Any) -> None:
    keys = [(p, c) for p in ("p", "q") for c in ("hue", "size")]
    table = pd.concat(
        curves("mae", panel=panel, factor=choice) for panel, choice in keys
    )
    values = {key: f"{i} {i} {i} {i}" for i, key in enumerate(keys)}
    keep({TEXT: {f"{p}; {c}; mae": line(v) for (p, c), v in values.items()}})
    spec = drawn(table, facet="panel", choose="factor")
    assert len(grey(spec)) == 1
    rows = spec["datasets"][spec["data"]["name"]]
    assert [row["_untrained"] for row in rows] == [
        i for i in range(4) for _ in range(4)
    ]


def test_what_a_control_draws_is_drawn_beside_trained_models(
    keep: Any,
) -> None:
    names = ("vit_cls?random=100 (intact: 0.1)", "mae?random=101")
    table = curves(*names, up=0.05)
    found = untrained.lines_in(
        executed(charts.lines(table, y="accuracy", description=TEXT))
    )
    keep(found)
    spec = drawn()
    rows = spec["datasets"][spec["data"]["name"]]
    got = [row["_untrained"] for row in rows]
    assert got == pytest.approx(table.accuracy.tolist(), rel=1e-3)


@pytest.mark.parametrize(
    "running", [{}, PAGE | {"num_images": 8}, PAGE | {"model": "lab/mae"}]
)
def test_nothing_is_drawn_with_other_parameters(
    keep: Any, running: dict[str, Any]
) -> None:
    keep(*TWO, running=running)
    spec = drawn()
    assert grey(spec) == []
    assert spec["description"] == TEXT
    assert "_untrained" not in spec["datasets"][spec["data"]["name"]][0]
    assert spec["title"]["subtitle"] == []


@pytest.mark.parametrize(
    "table",
    [
        TRAINED.replace("mae", "dino"),
        TRAINED[TRAINED.model == "mae"],
        TRAINED.assign(depth=TRAINED.depth / 2),
        TRAINED.replace("mae", "vit_cls"),
        pd.concat([TRAINED, curves("vit_cls?random")]),
        pd.concat([TRAINED, curves("untrained ViT")]),
    ],
    ids=["series", "fewer", "depths", "alike", "own", "own, by name"],
)
def test_nothing_is_drawn_where_the_lines_do_not_match(
    keep: Any, table: pd.DataFrame
) -> None:
    keep(*TWO)
    assert grey(drawn(table)) == []


def test_nothing_is_drawn_beside_another_chart(keep: Any) -> None:
    keep(*TWO)
    assert grey(drawn(description=f"{TEXT} And another.")) == []
    keep(*TWO, page="the_lab")  # two pages have such a chart
    assert grey(drawn()) == []


def test_nothing_is_drawn_where_draws_differ(keep: Any) -> None:
    shorter = {TEXT: {"mae": TWO[0][TEXT]["mae"]}}
    keep(TWO[0], shorter)
    assert grey(drawn()) == []


def test_a_chart_that_shows_untrained_models_itself_is_left_alone(
    keep: Any,
) -> None:
    names = ("mae", "vit_cls?random")
    keep({TEXT: dict.fromkeys(names, line("0 0 0 0"))})
    assert grey(drawn(curves(*names))) == []


@pytest.mark.parametrize(
    "lines",
    [{"mae": "0:0.5 1"}, {"mae": "0:high"}, {"mae": 1}, ["mae"], 1],
)
def test_curves_of_another_form_are_refused(keep: Any, lines: Any) -> None:
    keep({TEXT: lines})
    with pytest.raises(ValueError, match=r"mixers\.json.* 'A made-up chart"):
        drawn()


def test_bundled_curves_are_in_order_and_small() -> None:
    for path in KEPT:
        content = other_weights.read("controls", path.stem)
        given = content["parameters"]
        for run in content["runs"].values():
            for text in run.get("curves", {}):
                assert untrained.draws_of(text, given), (path.name, text)
    assert sum(path.stat().st_size for path in KEPT) < 1_000_000
