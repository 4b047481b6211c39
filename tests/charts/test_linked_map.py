"""A map linked to its images: what is drawn and chosen, and its weight."""

import re
import sys

import numpy as np
import pandas as pd
import pytest
import vl_convert
from PIL import Image

from helpers import charts
from helpers.charts import rendering

TEXT = "A made-up map with the images behind its cells."
CELLS = pd.DataFrame(
    {"layer_x": x, "layer_y": y, "cka": (x + y) / 10}
    for x in range(4)
    for y in range(3)
).astype({"layer_x": str, "layer_y": str})
EXAMPLES = pd.DataFrame(
    {
        "layer_x": cell.layer_x,
        "layer_y": cell.layer_y,
        "side": side,
        "rank": rank,
        "image": (place * 3 + rank) % 20,
        "contribution": 0.01 / rank,
    }
    for place, cell in enumerate(CELLS.itertuples())
    for side in ("for", "against")
    for rank in (1, 2)
)
RNG = np.random.default_rng(0)
NOISE = {
    i: Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for i in range(20)
}


def drawn(**more):
    return charts.linked_map(CELLS, EXAMPLES, NOISE, description=TEXT, **more)


def urls(spec):
    return [
        row["url"]
        for rows in spec["datasets"].values()
        for row in rows
        if "url" in row
    ]


def test_the_cell_in_the_middle_shows_its_images_first():
    spec = drawn(title="Linked").to_dict(validate=True)
    picture = vl_convert.vegalite_to_svg(spec)
    assert len(re.findall("<image", picture)) == 4
    assert "layer 1, layer 2: CKA 0.30" in picture
    for name in ("0", "1", "2", "3", "for", "against", "+0.01", "+0.005"):
        assert f">{name}</text>" in picture
    assert (
        len(urls(spec)) == EXAMPLES.image.nunique()
    )  # each picture travels once


def test_row_and_column_are_chosen_in_lists_and_by_a_click():
    (param,) = drawn().to_dict()["params"]
    assert param["select"]["on"] == "rect:click"
    assert param["bind"]["layer_y"]["options"] == ["0", "1", "2"]
    assert param["bind"]["layer_x"]["options"] == ["0", "1", "2", "3"]
    other = drawn().to_dict()
    other["params"][0]["value"] = [{"layer_x": "3", "layer_y": "0"}]
    assert "layer 0, layer 3: CKA 0.30" in vl_convert.vegalite_to_svg(other)


def test_pictures_shrink_until_the_figure_is_small_enough(monkeypatch):
    linked_map = sys.modules["helpers.charts.linked_map"]
    whole = len(rendering.render(drawn().to_dict())["text/html"])
    assert whole < linked_map.BYTES_AT_MOST
    monkeypatch.setattr(linked_map, "BYTES_AT_MOST", whole // 2)
    less = len(rendering.render(drawn().to_dict())["text/html"])
    assert less < 0.7 * whole
    monkeypatch.setattr(linked_map, "BYTES_AT_MOST", 10_000)
    with pytest.raises(ValueError, match="pictures of 24 pixels"):
        drawn()


def test_an_undefined_cell_is_drawn_and_says_so():
    cells = CELLS.assign(cka=CELLS.cka.where(CELLS.layer_x != "2"))
    some = EXAMPLES[EXAMPLES.layer_x != "2"]
    chart = charts.linked_map(cells, some, NOISE, description=TEXT)
    picture = vl_convert.vegalite_to_svg(chart.to_dict())
    assert "layer 1, layer 2: CKA undefined" in picture
    assert "<image" not in picture


def test_what_is_missing_or_comes_twice_is_refused():
    with pytest.raises(ValueError, match="no picture of image 3"):
        charts.linked_map(
            CELLS,
            EXAMPLES,
            {i: p for i, p in NOISE.items() if i != 3},
            description=TEXT,
        )
    with pytest.raises(ValueError, match="several rows"):
        charts.linked_map(
            CELLS, pd.concat([EXAMPLES] * 2), NOISE, description=TEXT
        )
    with pytest.raises(ValueError, match="unknown column 'contribution'"):
        charts.linked_map(
            CELLS, EXAMPLES.iloc[:, :-1], NOISE, description=TEXT
        )
