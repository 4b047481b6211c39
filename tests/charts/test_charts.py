"""The chart forms: table in, specification and marks out."""

import base64
import io
import itertools
import json
import math
import re
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest
import vl_convert
from PIL import Image

from helpers import charts
from helpers.charts import rendering, theme

TEXT = "A made-up chart that shows numbers for a test."


@pytest.fixture(autouse=True)
def _set_up(monkeypatch):
    monkeypatch.setenv("BOOK_BUILD", "1")
    before = alt.renderers.active
    charts.setup()
    yield
    alt.renderers.enable(before)


def cka(n: int, m: int | None = None, **more: Any) -> pd.DataFrame:
    rows = itertools.product(range(n), range(m or n))
    return pd.DataFrame(
        {
            "layer_x": f"blocks.{i}.out",
            "layer_y": f"blocks.{j}.out",
            "cka": math.exp(-abs(i - j)),
            "se": 0.01,
            **more,
        }
        for i, j in rows
    )


def curves(*models: str, **more: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {"model": m, "depth": d / 3, "accuracy": 0.1 + d / 5, "se": 0.02}
        | more
        for m in models
        for d in range(4)
    )


def svg(chart: Any) -> str:
    """Validate the specification and draw it."""
    return vl_convert.vegalite_to_svg(chart.to_dict(validate=True))


def marks(picture: str, kind: str) -> int:
    """Count the marks of the groups of one kind, outside axes and legends."""
    group = rf'<g class="mark-{kind} role-mark[^>]*>(.*?)</g>'
    found = re.findall(group, picture, re.DOTALL)
    return sum(len(re.findall("<(?:path|text)", part)) for part in found)


def labels(picture: str) -> list[str]:
    return re.findall(r">([^<>]+)</(?:text|tspan)>", picture)


def param(spec: dict[str, Any], name: str) -> dict[str, Any]:
    return next(p for p in spec["params"] if p["name"] == name)


def test_a_heat_map_has_a_cell_a_row_in_the_table_s_order():
    table = cka(11).iloc[::-1]
    chart = charts.heatmap(table, description=TEXT)
    assert marks(svg(chart), "rect") == 121
    spec = chart.to_dict()["layer"][0]["encoding"]
    order = [f"blocks.{i}.out" for i in reversed(range(11))]
    assert spec["x"]["sort"] == spec["y"]["sort"] == order
    scale = spec["color"]["scale"]
    assert scale["domain"] == [0, 1]
    assert scale["clamp"] is True


def test_the_first_layer_is_at_the_bottom_left():
    one = cka(2).query("layer_x == layer_y == 'blocks.0.out'")
    table = pd.concat([one, cka(2).iloc[1:].assign(cka=0.0)])
    picture = svg(charts.heatmap(table, description=TEXT))
    bright = re.search(
        r'd="M0,(\d+)h(\d+)[^"]*" fill="rgb\(253, 231, 37\)"', picture
    )
    assert bright, "the only cell with the value 1 starts at x = 0"
    assert int(bright[1]) > 0


@pytest.mark.parametrize("layers", [8, 12, 13, 48, 96])
def test_axes_bear_at_most_twelve_labels(layers):
    table = cka(layers, 1) if layers > 48 else cka(layers)
    shown = labels(svg(charts.heatmap(table, description=TEXT)))
    columns = {f"blocks.{i}.out" for i in range(layers)}
    along_x = len([t for t in shown if t in columns])
    assert 2 <= along_x <= 24
    assert "blocks.0.out" in shown


def test_negative_and_undefined_cells_are_marked():
    table = cka(4)
    table.loc[1, "cka"] = -0.2
    table.loc[[2, 3], "cka"] = np.nan
    picture = svg(charts.heatmap(table, description=TEXT))
    shown = labels(picture)
    assert shown.count("–") == 1
    assert shown.count("×") == 2
    assert marks(picture, "rect") == 14
    assert {"– below 0", "× undefined"} <= set(shown)
    plain = labels(svg(charts.heatmap(cka(4), description=TEXT)))
    assert not {"–", "×", "– below 0"} & set(plain)


def test_maps_side_by_side_have_their_own_layers():
    two = pd.concat([cka(3, pair="small"), cka(5, pair="large")])
    chart = charts.heatmap(two, description=TEXT, facet="pair")
    picture = svg(chart)
    assert marks(picture, "rect") == 9 + 25
    assert labels(picture).count("blocks.4.out") == 2
    assert {"small", "large"} <= set(labels(picture))


def test_the_reader_chooses_a_map():
    two = pd.concat([cka(3, pair="small"), cka(5, pair="large")])
    chart = charts.heatmap(two, description=TEXT, choose="pair")
    assert marks(svg(chart), "rect") == 9
    spec = chart.to_dict()
    control = param(spec, "choose_pair")
    assert control["bind"]["options"] == ["small", "large"]
    control["value"] = "large"
    assert marks(vl_convert.vegalite_to_svg(spec), "rect") == 25


def test_a_slider_runs_over_sorted_numbers_and_says_which():
    table = pd.concat([curves("mae", tokens=t) for t in (16, 1, 4)])
    table.loc[table.tokens == 4, "accuracy"] = 0.9
    chart = charts.lines(
        table, y="accuracy", description=TEXT, title="Probes", choose="tokens"
    )
    assert {"Probes", "tokens: 16"} <= set(labels(svg(chart)))
    spec = chart.to_dict()
    control = param(spec, "choose_tokens")
    assert (control["bind"]["min"], control["bind"]["max"]) == (0, 2)
    assert control["value"] == 2
    control["value"] = 0
    assert "tokens: 1" in labels(vl_convert.vegalite_to_svg(spec))


def measured(*models: str) -> pd.DataFrame:
    """Two models at four depths: `a` and `c` of both, `b` of the first."""
    own = {"a": models, "b": models[:1], "c": models}
    return pd.concat(
        curves(*names).assign(measure=measure).eval(f"value = depth + {shift}")
        for shift, (measure, names) in enumerate(own.items())
    )


def test_the_reader_chooses_both_measures():
    chart = charts.scatter(measured("mae", "dino"), description=TEXT)
    spec = chart.to_dict()
    x, y = (param(spec, f"choose_{s}") for s in ("horizontal", "vertical"))
    assert x["bind"]["options"] == y["bind"]["options"] == ["a", "b", "c"]
    assert (x["value"], y["value"]) == ("a", "c"), "most points have these"
    assert marks(svg(chart), "symbol") == 8
    y["value"] = "b"
    assert marks(vl_convert.vegalite_to_svg(spec), "symbol") == 4


def test_a_scatter_needs_two_measures_and_single_numbers():
    table = measured("mae", "dino")
    with pytest.raises(ValueError, match=r"measures \['a'\]; expected two"):
        charts.scatter(table[table.measure == "a"], description=TEXT)
    with pytest.raises(ValueError, match=r"rows for .*'measure': 'a'"):
        charts.scatter(pd.concat([table, table]), description=TEXT)


def test_the_number_axis_does_not_move_with_the_choice():
    table = pd.concat(
        [curves("mae", tokens=1), curves("mae", tokens=4).assign(accuracy=9.0)]
    )
    chart = charts.lines(
        table, y="accuracy", description=TEXT, choose="tokens"
    )
    y = chart.to_dict()["layer"][-1]["encoding"]["y"]
    assert y["scale"]["domain"] == pytest.approx([0.1 - 0.04, 9 + 0.04])


def test_numbers_of_different_units_have_their_own_axis():
    table = pd.concat(
        [
            curves("mae", objective="a"),
            curves("dino", objective="b").eval("accuracy = 1000 * accuracy"),
        ]
    )
    same, own = (
        charts.lines(
            table,
            y="accuracy",
            description=TEXT,
            choose="objective",
            own_scale=wanted,
        )
        for wanted in (False, True)
    )
    assert "600" in labels(svg(same))
    assert "600" not in labels(svg(own))
    panels = charts.lines(
        table,
        y="accuracy",
        description=TEXT,
        facet="objective",
        own_scale=True,
    )
    assert {"0.5", "600"} <= set(labels(svg(panels)))


def token_table(rows: int, columns: int, *prefix: str) -> pd.DataFrame:
    """Tokens that resemble their own patch alone, others the first one."""
    places = list(itertools.product(range(rows), range(columns)))
    names = {f"row {r + 1}, column {c + 1}": (r, c) for r, c in places}
    tokens = dict.fromkeys(prefix, (None, None)) | names
    return pd.DataFrame(
        {
            "token": name,
            "token_row": at[0],
            "token_column": at[1],
            "row": r,
            "column": c,
            "cka": float((r, c) == at or (at[0] is None and r + c == 0)),
        }
        for name, at in tokens.items()
        for r, c in places
    )


def bright(picture: str) -> list[tuple[int, int]]:
    """Corners of the cells with the largest value, in whole pixels."""
    cells = re.findall(
        r'd="M([\d.]+),([\d.]+)h[^"]*" fill="rgb\(253, 231, 37\)"', picture
    )
    return [(round(float(x)), round(float(y))) for x, y in cells]


def point_at(spec: dict[str, Any], **place: float) -> str:
    start = {"_kind": -1, "_v": 0.5, "_u": 0.5}
    param(spec, "pointed")["value"] = [start | place]
    return vl_convert.vegalite_to_svg(spec)


def test_a_token_pointed_at_shows_its_map():
    table = token_table(2, 4, "cls", "register 1")
    spec = charts.token_maps(table, description=TEXT).to_dict()
    picture = vl_convert.vegalite_to_svg(spec)
    assert marks(picture, "rect") == (8 + 2) + 1 + 8 + 1
    shown = labels(picture)
    assert {"cls", "register 1", "point at a token"} <= set(shown)
    assert "×" not in shown
    assert bright(picture)[8:] == [(264 + 33 + 2 * 66, 66 + 66)]
    moved = bright(point_at(spec, _v=0.25, _u=0.9))[8:]
    assert moved == [(264 + 33 + 3 * 66, 66)]
    assert bright(point_at(spec, _kind=1))[8:] == [(264 + 33, 66)]


def test_the_place_pointed_at_outlasts_a_choice_of_another_grid():
    two = pd.concat(
        [
            token_table(4, 4, "cls").assign(model="vit"),
            token_table(2, 2).assign(model="cnn", cka=lambda t: t.cka / 4),
        ]
    )
    chart = charts.token_maps(
        two, description=TEXT, choose="model", own_scale=True
    )
    spec = chart.to_dict()
    param(spec, "choose_model")["value"] = "cnn"
    corner = bright(point_at(spec, _v=0.9, _u=0.9))
    assert corner[4:] == [(264 + 33 + 132, 66 + 132)]
    absent = bright(point_at(spec, _kind=0))
    assert absent[4:] == corner[4:], "a token that it lacks: the middle"


def test_undefined_maps_are_crossed_and_gaps_are_refused():
    table = token_table(2, 2)
    table.loc[table.token == "row 2, column 2", "cka"] = np.nan
    picture = svg(charts.token_maps(table, description=TEXT))
    assert labels(picture).count("×") == 1 + 4
    with pytest.raises(ValueError, match="16 cells, got 15"):
        charts.token_maps(table.iloc[1:], description=TEXT)


def test_lines_have_points_bands_and_a_reference():
    chart = charts.lines(
        curves("vit_cls", "mae"), y="accuracy", description=TEXT, reference=0.1
    )
    picture = svg(chart)
    assert marks(picture, "symbol") == 8
    assert marks(picture, "line") == 2
    assert marks(picture, "area") == 2
    assert picture.count('class="mark-rule role-mark') == 1
    data = next(d for d in chart.to_dict()["datasets"].values() if len(d) > 1)
    assert data[0]["_high"] - data[0]["accuracy"] == pytest.approx(2 * 0.02)


def test_a_band_of_two_columns_is_drawn_as_given():
    table = curves("mae").assign(low=0.0, high=[0.2, 0.4, 0.6, 0.9])
    chart = charts.lines(
        table, y="accuracy", description=TEXT, band=("low", "high")
    )
    data = next(iter(chart.to_dict()["datasets"].values()))
    assert [row["_high"] for row in data] == [0.2, 0.4, 0.6, 0.9]


def test_sizes_that_double_stand_at_equal_distances():
    table = pd.DataFrame(
        {"batch": [32, 64, 1024], "model": "mae", "cka": [0.1, 0.2, 0.3]}
    )
    chart = charts.lines(
        table, x="batch", y="cka", x_scale="log2", description=TEXT
    )
    picture = svg(chart)
    assert {"32", "64", "1,024"} <= set(labels(picture))
    places = re.findall(
        r"translate\(([\d.]+),[\d.]+\)[^>]*>", picture.split("role-mark")[-1]
    )
    x = [float(place) for place in places[:3]]
    assert (x[2] - x[0]) / (x[1] - x[0]) == pytest.approx(5, rel=1e-3)


def test_names_on_the_x_axis_keep_their_order_in_a_line():
    table = pd.DataFrame(
        {"layer": ["z", "a", "m"], "model": "mae", "norm": [1.0, 2.0, 3.0]}
    )
    picture = svg(charts.lines(table, x="layer", y="norm", description=TEXT))
    path = re.search(r'mark-line role-mark.*?d="M([^"]+)"', picture, re.DOTALL)
    assert path
    x = [float(point.split(",")[0]) for point in path[1].split("L")]
    assert x == sorted(x)


def test_bars_have_error_bars_and_keep_the_order():
    table = pd.DataFrame(
        {"model": ["z", "a"], "f1": [0.5, 0.6], "se": [0.1, 0.1]}
    )
    chart = charts.bars(table, x="f1", description=TEXT, reference=0.5)
    picture = svg(chart)
    assert marks(picture, "rect") == 2
    assert chart.to_dict()["layer"][0]["encoding"]["y"]["sort"] == ["z", "a"]
    assert picture.count("mark-rule role-mark") == 2


def test_grouped_bars_have_one_bar_a_row():
    table = pd.DataFrame(
        itertools.product(["shape", "texture"], ["mae", "dino", "vit_cls"]),
        columns=["factor", "model"],
    ).assign(r2=0.5)
    chart = charts.bars(
        table, x="r2", y="factor", color="model", description=TEXT
    )
    assert marks(svg(chart), "rect") == 6


@pytest.mark.parametrize("description", ["", "  a  b ", "CKA of layers"])
def test_a_chart_without_a_description_is_refused(description):
    with pytest.raises(ValueError, match="expected at least 4"):
        charts.heatmap(cka(3), description=description)
    with pytest.raises(ValueError, match="expected at least 4"):
        rendering.render({"description": description, "mark": "bar"})
    with pytest.raises(TypeError, match="description"):
        charts.heatmap(cka(3))


def test_bad_tables_are_refused_before_any_drawing():
    many = pd.concat([cka(101, 100, pair=p) for p in "ab"])
    with pytest.raises(ValueError, match=r"20200 rows.*aggregate"):
        charts.heatmap(many, description=TEXT, choose="pair")
    with pytest.raises(ValueError, match="0 rows"):
        charts.heatmap(cka(3).iloc[:0], description=TEXT)
    with pytest.raises(ValueError, match="'layer_q'; nearest: 'layer_"):
        charts.heatmap(cka(3), x="layer_q", description=TEXT)
    with pytest.raises(ValueError, match="several rows for"):
        charts.heatmap(pd.concat([cka(3)] * 2), description=TEXT)
    with pytest.raises(ValueError, match="several rows for"):
        charts.lines(
            pd.concat([curves("mae")] * 2), y="accuracy", description=TEXT
        )
    with pytest.raises(ValueError, match="letters, digits"):
        charts.lines(
            curves("mae").rename(columns={"accuracy": "a.b"}),
            y="a.b",
            description=TEXT,
        )


def test_a_page_gets_a_figure_that_names_no_other_machine():
    chart = charts.heatmap(
        cka(3), description=TEXT, title="</script><b>", x_title="a & b"
    )
    bundle, _ = alt.renderers.get()(chart.to_dict()), None
    page = bundle["text/html"]
    assert bundle["text/plain"] == TEXT
    assert page.count("</script>") == 1
    data = re.search(r'json">(.*?)</script>', page, re.DOTALL)
    assert data
    spec = json.loads(data[1])
    assert spec["title"]["text"] == "</script><b>"
    assert spec["description"] == TEXT
    assert spec["usermeta"]["renderer"] == "svg"
    assert spec["config"]["background"] == "transparent"
    assert "theme_fg" in {p["name"] for p in spec["config"]["params"]}
    assert "://" not in page.replace(spec["$schema"], "")


def test_figures_are_numbered_and_have_addresses_of_their_own():
    charts.setup()
    black = Image.new("RGB", (4, 4))

    def heat(title: str) -> str:
        chart = charts.heatmap(cka(3), description=TEXT, title=title)
        return alt.renderers.get()(chart.to_dict())["text/html"]

    shown = [
        heat("CKA of <all> layers"),
        charts.pictures([black], description=TEXT, title="Scenes"),
        heat(""),
        heat("CKA of all layers"),
    ]
    names = [re.search(r'<figure [^>]*id="([^"]+)"', s)[1] for s in shown]
    assert names == [
        "figure-cka-of-all-layers",
        "figure-scenes",
        "figure-3",
        "figure-cka-of-all-layers-4",
    ]
    for number, (name, page) in enumerate(
        zip(names, shown, strict=True), start=1
    ):
        link = f'href="#{name}">Figure {number}</a>'
        assert f"{link} {TEXT}</figcaption></figure>" in page
    charts.setup()
    assert 'id="figure-scenes"' in charts.pictures(
        [black], description=TEXT, title="Scenes"
    )


def test_large_maps_are_drawn_on_a_canvas():
    large = charts.heatmap(cka(45), description=TEXT).to_dict()
    assert '"renderer":"canvas"' in rendering.render(large)["text/html"]


def test_packed_tables_hold_the_same_rows():
    rows = cka(4).to_dict("records")
    packed = rendering.pack(rows)
    columns = {
        name: c.get("values") or [c["levels"][i] for i in c["codes"]]
        for name, c in packed.items()
    }
    assert pd.DataFrame(columns).to_dict("records") == rows
    assert len(json.dumps(packed)) < len(json.dumps(rows)) / 2
    assert rendering.pack([{}]) == [{}]
    assert rendering.pack([{"a": 1}, {"b": 2}]) == [{"a": 1}, {"b": 2}]


def test_elsewhere_altair_s_own_renderer_and_a_white_page_stay(monkeypatch):
    monkeypatch.setenv("BOOK_BUILD", "0")
    alt.renderers.enable("default")
    charts.setup()
    assert alt.renderers.active == "default"
    assert theme.theme()["config"]["background"] == "white"


def test_a_model_has_the_same_look_everywhere_and_no_two_share_one():
    assert len(set(theme.MODELS.values())) == len(theme.MODELS)
    alone = theme.styles(["lab/mae"])
    among = theme.styles(["x", "vit_cls", "mae", "y"])
    assert alone[0] == among[2]
    many = theme.styles([*theme.MODELS, *(f"new_{i}" for i in range(14))])
    looks = {(json.dumps(s.colour), s.dash) for s in many}
    assert len(looks) == 32
    plain = theme.styles(["a", "b", "c"])
    assert len({json.dumps(s.colour) for s in plain}) == 3


# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
SIGHT = {
    "full": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def linear(colour: str) -> np.ndarray:
    code = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(
        code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4
    )


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = (
        np.array(
            [
                [0.4124564, 0.3575761, 0.1804375],
                [0.2126729, 0.7151522, 0.0721750],
                [0.0193339, 0.1191920, 0.9503041],
            ]
        )
        @ rgb
        / np.array([0.95047, 1, 1.08883])
    )
    f = np.where(
        xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116
    )
    return np.array(
        [116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])]
    )


def ciede2000(p: np.ndarray, q: np.ndarray) -> float:
    """Colour difference (Sharma, Wu and Dalal 2005, equations 2-22)."""
    mean_c = (math.hypot(*p[1:]) + math.hypot(*q[1:])) / 2
    g = 0.5 * (1 - math.sqrt(mean_c**7 / (mean_c**7 + 25**7)))
    (l1, a1, b1), (l2, a2, b2) = p, q
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = math.hypot(a1, b1), math.hypot(a2, b2)
    h1 = math.degrees(math.atan2(b1, a1)) % 360
    h2 = math.degrees(math.atan2(b2, a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180
    mean_h = h1 + h2
    if abs(h1 - h2) > 180:
        mean_h += 360 if mean_h < 360 else -360
    mean_h, mean_l, mean_c = mean_h / 2, (l1 + l2) / 2, (c1 + c2) / 2
    t = 1 + sum(
        k * math.cos(math.radians(n * mean_h + shift))
        for k, n, shift in (
            (-0.17, 1, -30),
            (0.24, 2, 0),
            (0.32, 3, 6),
            (-0.20, 4, -63),
        )
    )
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / math.sqrt(20 + (mean_l - 50) ** 2)
    s_c, s_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    twist = 60 * math.exp(-(((mean_h - 275) / 25) ** 2))
    r = -2 * math.sqrt(mean_c**7 / (mean_c**7 + 25**7))
    r *= math.sin(math.radians(twist))
    d_l, d_c = (l2 - l1) / s_l, (c2 - c1) / s_c
    d_h = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2)) / s_h
    return math.sqrt(d_l**2 + d_c**2 + d_h**2 + r * d_c * d_h)


def test_the_colour_difference_reproduces_published_pairs():
    # Sharma, Wu and Dalal 2005, table 1, pairs 1, 7 and 17.
    for p, q, value in (
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ):
        assert ciede2000(np.array(p), np.array(q)) == pytest.approx(
            value, abs=1e-4
        )


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize(("side", "page"), [(0, "#ffffff"), (1, "#121212")])
def test_the_palette_is_told_apart_by_all_eyes(sight, side, page):
    colours = [pair[side] for pair in theme.PALETTE.values()]
    seen = [lab(np.clip(SIGHT[sight] @ linear(c), 0, 1)) for c in colours]
    nearest = min(ciede2000(p, q) for p, q in itertools.combinations(seen, 2))
    assert nearest > 13
    weights = np.array([0.2126, 0.7152, 0.0722])
    for colour in colours:
        light = sorted(float(linear(c) @ weights) for c in (colour, page))
        assert (light[1] + 0.05) / (light[0] + 0.05) >= 2.95


def test_pictures_are_sharp_described_and_exact():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (3, 8, 8), dtype=np.uint8)
    shown = charts.pictures(
        [pixels, Image.new("L", (4, 4))],
        ["a <shirt>", "black"],
        description=TEXT,
        columns=2,
    )
    assert shown.count("<img") == 2
    assert "repeat(2," in shown
    assert 'alt="a &lt;shirt&gt;"' in shown
    assert "image-rendering:pixelated" in shown
    png = re.search(r"base64,([^\"]+)", shown)
    assert png
    back = np.asarray(Image.open(io.BytesIO(base64.b64decode(png[1]))))
    assert (back == pixels.transpose(1, 2, 0)).all()
    bundle = shown._repr_mimebundle_()
    assert bundle == {"text/html": str(shown), "text/plain": TEXT}


def test_bad_pictures_are_refused():
    black = Image.new("RGB", (4, 4))
    with pytest.raises(ValueError, match="expected uint8"):
        charts.pictures([np.zeros((4, 4, 3))], description=TEXT)
    with pytest.raises(ValueError, match="2 images and 1 labels"):
        charts.pictures([black, black], ["one"], description=TEXT)
    with pytest.raises(ValueError, match="0 images"):
        charts.pictures([], description=TEXT)
    with pytest.raises(ValueError, match="shrink it"):
        charts.pictures([Image.new("RGB", (600, 4))], description=TEXT)


def test_verdicts_are_words_and_signs_besides_colours():
    rows = [
        {"statement": "a < b", "verdict": v, "effect": e, "low": 0.1,
         "high": 0.3, "border": 0, "side": "above", "page": "intro"}
        for v, e in (
            ("holds", 0.2),
            ("does not hold", -0.2),
            ("undecided", -3e-17),  # shown as 0
            ("not measurable here", None),
        )
    ]  # fmt: skip
    table = charts.verdicts(rows, title="Claims", link=True)
    for sign, row in zip("✓✗?–", rows, strict=True):
        assert f"{sign}</span> {row['verdict']}</span>" in table
    assert "a &lt; b" in table
    assert table.count('href="intro.html"') == 4
    assert table.count("expected &gt; 0") == 3
    assert "<strong>0</strong>" in table
    with pytest.raises(ValueError, match="unknown verdict 'hold'"):
        charts.verdicts([{"statement": "a", "verdict": "hold"}])


def veils(**more: Any) -> pd.DataFrame:
    """A map for each of two heads, two images and two blocks."""
    rows = itertools.product((0, 1), (1, 2), ("b", "a"))
    corner = np.zeros((2, 3))
    corner[0, 2] = 0.5
    return pd.DataFrame(
        {"block": b, "rank": r, "image": i, "map": corner, "head": 7} | more
        for b, r, i in rows
    )


def scenery() -> dict[str, Any]:
    red, blue = np.zeros((2, 40, 60, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    return {"a": red, "b": blue}


def pixels(url: str) -> Any:
    """Decode a picture from a data address."""
    data = url.split(";base64,")[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_a_veil_is_thin_where_the_map_is_high():
    chart = charts.overlays(
        veils(), scenery(), description=TEXT, choose="block", tips=["head"]
    )
    picture = svg(chart)
    places = re.findall(r"<image[^>]*>", picture)
    assert len(places) == 2 * 4  # a scene and a veil, for one block
    spec = chart.to_dict()
    (veil,) = {
        row["map"]
        for rows in spec["datasets"].values()
        for row in rows
        if "map" in row
    }
    alpha = pixels(veil)[..., 1]
    assert alpha.shape == (2, 3)
    assert alpha[0, 2] == 0
    assert set(alpha.ravel()[[0, 1, 3, 4, 5]]) == {round(0.9 * 255)}
    assert "head" in json.dumps(spec["layer"][1]["encoding"]["tooltip"])


def test_pictures_under_veils_are_stored_once_and_in_order():
    chart = charts.overlays(
        veils(), scenery(), description=TEXT, choose="block"
    )
    spec = chart.to_dict()
    stored = [
        row
        for rows in spec["datasets"].values()
        for row in rows
        if "_picture" in row
    ]
    assert [row["image"] for row in stored] == ["a", "b"]
    assert pixels(stored[0]["_picture"])[20, 30, 0] > 200
    assert spec["layer"][0]["encoding"]["x"]["sort"] == ["b", "a"]


def test_an_outlined_cell_surrounds_its_place():
    table = veils().query("block == 0")
    chart = charts.overlays(table, scenery(), description=TEXT, marked=(1, 0))
    url = chart.to_dict()["layer"][2]["encoding"]["url"]["value"]
    shown = pixels(url)[..., 3] > 0
    rows, columns = np.nonzero(shown)
    assert shown.shape == (16, 24)
    assert (rows.min(), rows.max()) == (8, 15)
    assert (columns.min(), columns.max()) == (0, 7)
    assert not shown[9:15, 1:7].any()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (veils(image="c"), "unknown picture 'c'"),
        (veils(rank=1), "several rows"),
        (veils(map=-np.ones((2, 2))), "none negative"),
        (veils(map=np.full((2, 2), np.nan)), "finite"),
        (veils(map=np.ones(4)), "rows and columns"),
    ],
    ids=["picture", "again", "negative", "nan", "flat"],
)
def test_overlays_refuse_what_they_cannot_draw(table, message):
    with pytest.raises(ValueError, match=message):
        charts.overlays(
            table.drop_duplicates(["block", "rank", "image"])
            if "several" not in message
            else table,
            scenery(),
            description=TEXT,
            choose="block",
        )
