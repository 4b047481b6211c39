"""Maps as pictures: the colours that reach the page."""

import base64
import io
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest
import vl_convert
from PIL import Image

from helpers import charts

TEXT = "A made-up chart that shows maps for a test."
YELLOW, VIOLET, MIDDLE = (253, 231, 37), (68, 1, 84), (33, 145, 140)


@pytest.fixture(autouse=True)
def _set_up(monkeypatch: pytest.MonkeyPatch) -> Any:
    before = alt.renderers.active
    charts.setup()
    yield
    alt.renderers.enable(before)


def table(*maps: Any, **more: Any) -> pd.DataFrame:
    rows = [
        {"layer": f"blocks.{i}.out", "step": i / 2, "field": field}
        for i, field in enumerate(maps)
    ]
    return pd.DataFrame(rows).assign(**more)


def pictures(chart: Any) -> list[np.ndarray]:
    spec = chart.to_dict(validate=True)
    vl_convert.vegalite_to_svg(spec)
    (rows,) = spec["datasets"].values()
    found = [base64.b64decode(row["field"].split(",")[1]) for row in rows]
    return [
        np.asarray(Image.open(io.BytesIO(f)).convert("RGB")) for f in found
    ]


def test_colours_are_logarithmic_in_each_map() -> None:
    field = np.array([[1, 10**-1.5], [1e-3, 0]])
    shown = charts.frames(
        table(field, 50 * field), description=TEXT, choose="step"
    )
    for picture in pictures(shown):
        assert tuple(picture[0, 0]) == YELLOW
        assert tuple(picture[1, 0]) == tuple(picture[1, 1]) == VIOLET
        assert np.abs(picture[0, 1].astype(int) - MIDDLE).max() <= 1


def test_a_large_map_is_averaged_and_keeps_its_shape() -> None:
    field = np.ones((64, 128))
    field[:2, :2] = [[0, 4], [2, 2]]  # the mean of its surroundings is 1
    field[:2, :2] /= 2
    (picture,) = pictures(
        charts.frames(table(field), description=TEXT, choose="step")
    )
    assert picture.shape == (32, 64, 3)
    assert (picture == YELLOW).all()


def test_a_map_of_zeros_is_dark() -> None:
    field = np.zeros((4, 4))
    (picture,) = pictures(
        charts.frames(table(field), description=TEXT, choose="step")
    )
    assert (picture == VIOLET).all()


def test_panels_and_a_slider() -> None:
    field = np.ones((4, 4))
    both = pd.concat(
        table(field, field, model=name) for name in ("vit_cls", "resnet")
    )
    chart = charts.frames(
        both, description=TEXT, title="Maps", facet="model", choose="step"
    )
    assert len(pictures(chart)) == 4
    assert "blocks.0.out" in vl_convert.vegalite_to_svg(chart.to_dict())


@pytest.mark.parametrize(
    "field", [np.ones(3), -np.ones((2, 2)), np.full((2, 2), np.nan)]
)
def test_refuses_what_is_no_map(field: Any) -> None:
    with pytest.raises(ValueError, match="expected \\(h, w\\) numbers"):
        charts.frames(table(field), description=TEXT, choose="step")


def test_refuses_two_maps_for_one_place() -> None:
    field = np.ones((2, 2))
    with pytest.raises(ValueError, match="several rows"):
        charts.frames(
            table(field, field, step=0), description=TEXT, choose="step"
        )
