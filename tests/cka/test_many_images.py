"""The curve of many images: its numbers, its file, and when it is old."""

import numpy as np
import pandas as pd
import pytest

from helpers import cka, images, models
from helpers.cka import many_images
from helpers.lab import wardrobe
from helpers.models import zoo

ORIGIN = {"version": "0.0", "torch": "2.6"}


@pytest.fixture(scope="module")
def shallow():
    return models.load("lab/vit_narrow_shallow")


def test_each_count_agrees_with_a_measurement_of_its_own(shallow):
    scenes = many_images.scenes(96)
    other = models.load("lab/vit_narrow_shallow?random")
    found = many_images.curve(shallow, other, scenes, (64, 96))
    assert tuple(found) == many_images.COLUMNS
    for count, table in found.groupby("images"):
        expected = cka.measure(shallow, other, scenes.part(slice(count)))
        np.testing.assert_allclose(table.cka, expected.cka.ravel())
        np.testing.assert_allclose(table.se, expected.se.ravel())


def test_scenes_go_on_where_the_image_set_ends():
    nominal = wardrobe.SIZES["test"]
    found, known = many_images.scenes(nominal + 3), images.load("wardrobe")
    np.testing.assert_array_equal(found.labels[:nominal], known.labels)
    assert len(found) == len(found.targets["garment"]) == nominal + 3
    pixels = wardrobe.compose("test", [nominal + 2]).pixels[0]
    np.testing.assert_array_equal(
        np.asarray(found[nominal + 2]), pixels.permute(1, 2, 0)
    )
    np.testing.assert_array_equal(np.asarray(found[5]), known[5])


@pytest.mark.parametrize("counts", [(), (48,), (0,), (64, 128)])
def test_numbers_that_do_not_fit_are_refused(shallow, counts):
    scenes = images.load("wardrobe", limit=96)
    with pytest.raises(ValueError, match="multiples of 32, at most 96"):
        many_images.curve(shallow, shallow, scenes, counts)


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.setattr(many_images, "FILE", tmp_path / "new" / "cka.csv")
    many_images.write(ORIGIN, (32, 64))
    return many_images.kept("lab/vit_cls", "lab/vit_cls_twin", "wardrobe")


def test_what_is_written_is_read_again(written):
    pair = map(models.load, ("lab/vit_cls", "lab/vit_cls_twin"))
    expected = many_images.curve(*pair, many_images.scenes(64), (32, 64))
    pd.testing.assert_frame_equal(written.table, expected, atol=1e-5)
    assert written.current
    assert ORIGIN.items() <= written.origin.items()
    assert "on 64 scenes with version 0.0 and torch 2.6." in str(written)


def test_a_curve_of_earlier_weights_is_called_so(written, monkeypatch):
    cards = zoo.cards()
    cards["vit_cls_twin"]["sha256"] = "0" * 64
    monkeypatch.setattr(zoo, "cards", lambda: cards)
    old = many_images.kept("lab/vit_cls", "lab/vit_cls_twin", "wardrobe")
    assert not old.current
    assert "of earlier weights" in str(old)


def test_other_models_images_or_no_file_have_none(tmp_path, monkeypatch):
    specs = ["lab/vit_cls", "lab/vit_cls_twin", "wardrobe"]
    others = ["lab/mae", "lab/vit_cls?random", "digits"]
    for place, other in enumerate(others):
        changed = [*specs[:place], other, *specs[place + 1 :]]
        assert many_images.kept(*changed) is None
    monkeypatch.setattr(many_images, "FILE", tmp_path / "cka.csv")
    assert many_images.kept(*specs) is None


def test_the_kept_curve_is_whole_and_begins_as_it_does_today():
    found = many_images.kept("lab/vit_cls", "lab/vit_cls_twin", "wardrobe")
    sizes = found.table.groupby("images").size()
    assert sizes.to_dict() == dict.fromkeys(many_images.COUNTS, 144)
    assert np.isfinite(found.table[["cka", "se"]]).all(axis=None)
    assert {"version", "torch", "timm", "device"} <= found.origin.keys()
    if not found.current:
        pytest.skip("of earlier weights: `vitscope many-images` is due")
    fewest = many_images.COUNTS[:1]
    pair = map(models.load, ("lab/vit_cls", "lab/vit_cls_twin"))
    again = many_images.curve(*pair, many_images.scenes(*fewest), fewest)
    kept = found.table[found.table.images == fewest[0]]
    pd.testing.assert_frame_equal(kept, again, atol=1e-4, rtol=0)
