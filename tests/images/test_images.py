"""Image specs: what loads, in which order, and what is refused."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from helpers import images, models
from helpers.images import specs
from helpers.lab import wardrobe
from helpers.models.vision_model import VisionModel
from helpers.runtime.paths import DATA

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture(scope="module")
def tiny() -> VisionModel:
    return models.load("vit_tiny_patch16_224?random&img_size=32")


def picture(level: int) -> Image.Image:
    return Image.new("RGB", (40, 32), (level, level // 2, 0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind in ("cats", "dogs"):
        (tmp_path / kind).mkdir()
        for i in range(10):
            picture(10 * i).save(tmp_path / kind / f"{i}.png")
    return tmp_path


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    rows = []
    for i in range(10):
        file = io.BytesIO()
        picture(10 * i).save(file, "PNG")
        rows.append({"bytes": file.getvalue(), "path": f"{i}.png"})
    labels = [i % 2 for i in range(10)]
    path = tmp_path / "all.parquet"
    pq.write_table(pa.table({"img": rows, "label": labels}), path)
    return path


def test_wardrobe_scenes_and_factors_are_those_composed() -> None:
    scenes = images.load("wardrobe", limit=20, seed=1)
    direct = wardrobe.compose("test", scenes.index)
    for i in (0, 7, 19):
        pixels = np.asarray(scenes[i]).transpose(2, 0, 1)
        assert (pixels == direct.pixels[i].numpy()).all()
    for name, value in direct.factors.items():
        np.testing.assert_array_equal(scenes.targets[name], value)
    assert len(scenes.class_names) == 100
    garment, fabric = scenes.targets["garment"][3], scenes.targets["fabric"][3]
    assert scenes.class_names[scenes.labels[3]] == (
        f"{wardrobe.GARMENTS[garment]}, {wardrobe.FABRICS[fabric]}"
    )


def test_a_variant_shows_the_same_scenes_otherwise() -> None:
    plain = images.load("wardrobe", limit=8)
    sketch = images.load("wardrobe:sketch", limit=8)
    np.testing.assert_array_equal(plain.labels, sketch.labels)
    assert np.asarray(plain[0]).tolist() != np.asarray(sketch[0]).tolist()


def test_limit_draws_without_replacement_by_seed() -> None:
    whole = images.load("digits")
    a, b, c = (images.load("digits", limit=100, seed=s) for s in (0, 0, 1))
    assert len(set(a.index.tolist())) == 100
    np.testing.assert_array_equal(a.index, b.index)
    assert a.index.tolist() != c.index.tolist()
    assert set(a.index) <= set(whole.index)


@pytest.mark.parametrize("limit", [0, -3, 10**6])
def test_impossible_limits(limit: int) -> None:
    with pytest.raises(ValueError, match="cannot draw"):
        images.load("digits", limit=limit)


def test_digits_splits_are_disjoint_and_complete() -> None:
    train, test = (images.load("digits", split) for split in specs.SPLITS)
    data = load_digits()
    joined = sorted([*train.index.tolist(), *test.index.tolist()])
    assert joined == list(range(len(data.target)))
    np.testing.assert_array_equal(test.labels, data.target[test.index])
    grey = np.asarray(test[0])[:, :, 0] * (16 / 255)
    np.testing.assert_allclose(grey, data.images[test.index[0]], atol=0.04)


def test_bare_garments_are_the_ones_that_the_scenes_wear() -> None:
    bare = images.load("fashion_mnist", "test")
    assert len(bare) == sum(np.bincount(bare.labels, minlength=10)) > 1000
    scene = images.load("wardrobe", limit=5)
    for garment, row in zip(
        *(scene.targets[k] for k in ("garment", "photograph")), strict=True
    ):
        assert bare.labels[row] == garment
    with np.load(DATA / "garments.npz") as arrays:
        first = arrays["test_images"][7]
    np.testing.assert_array_equal(np.asarray(bare[7])[:, :, 1], first)


def test_batches_prepare_each_image_for_each_model(tiny: VisionModel) -> None:
    scenes = images.load("wardrobe", limit=10)
    other = models.load("resnet18?random")
    seen = []
    for where, (x, again, y) in scenes.batches(
        tiny, tiny, other, batch_size=4
    ):
        seen += where.tolist()
        assert x is again or torch.equal(x, again)
        for row, i in enumerate(where):
            torch.testing.assert_close(x[row], tiny.transform(scenes[i]))
            torch.testing.assert_close(y[row], other.transform(scenes[i]))
    assert seen == list(range(10))


def test_images_as_a_model_sees_them(folder: Path) -> None:
    scenes = images.load("wardrobe", limit=3)
    seen = scenes.seen_by(models.load("lab/vit_cls", "cpu"))
    for pixels, scene in zip(seen, scenes, strict=True):
        np.testing.assert_array_equal(pixels, np.asarray(scene))
    flat = images.load(f"folder:{folder}")
    other = models.load("vit_tiny_patch16_224.augreg_in21k?random", "cpu")
    resized = flat.seen_by(other)
    assert resized.shape == (len(flat), 224, 224, 3)
    for pixels, image in zip(resized, flat, strict=True):
        level = np.asarray(image)[0, 0]
        assert np.abs(pixels.astype(int) - level).max() <= 1


def test_drop_last(tiny: VisionModel) -> None:
    digits = images.load("digits", limit=10)
    sizes = [
        len(where)
        for where, _ in digits.batches(tiny, batch_size=4, drop_last=True)
    ]
    assert sizes == [4, 4]
    with pytest.raises(ValueError, match="positive"):
        next(digits.batches(tiny, batch_size=0))


def test_a_folder_without_splits(folder: Path) -> None:
    train, test = (
        images.load(f"folder:{folder}", split) for split in specs.SPLITS
    )
    assert train.class_names == test.class_names == ("cats", "dogs")
    assert (len(train), len(test)) == (16, 4)
    assert set(test.labels) == {0, 1}
    assert np.asarray(test[0])[0, 0].tolist() == [40, 20, 0]  # cats/4.png
    assert not set(train.index) & set(test.index)


def test_a_folder_with_splits(folder: Path) -> None:
    for split in ("train", "val"):
        (folder / split / "birds").mkdir(parents=True)
        picture(200).save(folder / split / "birds" / "a.png")
    assert images.load(f"folder:{folder}").class_names == ("birds",)
    assert len(images.load(f"folder:{folder}", "train")) == 1


def test_an_unreadable_image_is_named(folder: Path, tiny: VisionModel) -> None:
    (folder / "cats" / "4.png").write_bytes(b"not an image")
    scenes = images.load(f"folder:{folder}")
    with pytest.raises(ValueError, match=r"unreadable image.*cats/4\.png"):
        list(scenes.batches(tiny, batch_size=4))


def save(folder: Path, picture: Image.Image, name: str) -> str:
    for i in range(5):
        (folder / "kind").mkdir(exist_ok=True)
        picture.save(folder / "kind" / name.format(i))
    return f"folder:{folder}"


@pytest.mark.parametrize(
    ("mode", "name", "seen"),
    [
        ("L", "{}.png", (90, 90, 90)),
        ("CMYK", "{}.jpg", (90, 45, 0)),
        ("RGBA", "{}.png", (90, 45, 0)),
    ],
)
def test_modes_of_pictures(
    tmp_path: Path, mode: str, name: str, seen: tuple[int, ...]
) -> None:
    level = Image.new("L", (40, 32), 90) if mode == "L" else picture(90)
    found = images.load(save(tmp_path, level.convert(mode), name))
    difference = np.asarray(found[0], int)[5, 5] - seen
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize("level", [0.5, 70_000, -1])
def test_levels_that_rgb_would_clip(tmp_path: Path, level: float) -> None:
    kind = np.float32 if level == 0.5 else np.int32
    fine = Image.fromarray(np.full((4, 4), level, kind))
    found = images.load(save(tmp_path, fine, "{}.tif"))
    with pytest.raises(ValueError, match=r"kind/4\.tif.*8 or 16 bits"):
        found[0]


def test_a_picture_too_large_to_be_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    found = images.load(save(tmp_path, picture(9), "{}.png"))
    with pytest.raises(ValueError, match=r"unreadable image.*exceeds limit"):
        found[0]


def test_one_pixel_is_a_picture(tmp_path: Path, tiny: VisionModel) -> None:
    spec = save(tmp_path, Image.new("RGB", (1, 1), (90, 45, 0)), "{}.png")
    (pixels,) = images.load(spec).seen_by(tiny)
    assert np.abs(pixels.astype(int) - (90, 45, 0)).max() <= 1


def test_both_splits_of_a_folder_have_the_same_classes(
    tmp_path: Path,
) -> None:
    for place in ("train/ants", "train/bees", "test/bees", "test/empty"):
        (tmp_path / place).mkdir(parents=True)
        if "empty" not in place:
            picture(9).save(tmp_path / place / "a.png")
    train, test = (
        images.load(f"folder:{tmp_path}", split) for split in specs.SPLITS
    )
    assert train.class_names == test.class_names == ("ants", "bees")
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 1], [1])


def test_too_few_pictures_for_a_test_split(tmp_path: Path) -> None:
    for i in range(4):
        picture(9).save(tmp_path / f"{i}.png")
    assert len(images.load(f"folder:{tmp_path}", "train")) == 4
    with pytest.raises(ValueError, match="of 4 images none"):
        images.load(f"folder:{tmp_path}")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no image in"):
        images.load(f"folder:{tmp_path}")


def test_parquet_file_and_folder(parquet: Path) -> None:
    test = images.load(f"parquet:{parquet}")
    assert test.index.tolist() == [4, 9]
    assert test.labels.tolist() == [0, 1]
    assert np.asarray(test[1])[0, 0].tolist() == [90, 45, 0]
    parquet.rename(parquet.with_name("all-test-0.parquet"))
    assert len(images.load(f"parquet:{parquet.parent}")) == 10
    with pytest.raises(ValueError, match="'train' in its name"):
        images.load(f"parquet:{parquet.parent}", "train")


def test_damaged_parquet(parquet: Path) -> None:
    parquet.write_bytes(parquet.read_bytes()[:-40])
    with pytest.raises(ValueError, match="damaged or not a parquet"):
        images.load(f"parquet:{parquet}")


def test_parquet_without_images(tmp_path: Path) -> None:
    pq.write_table(pa.table({"label": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="its columns are label"):
        images.load(f"parquet:{tmp_path / 'a.parquet'}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("wardrobes", "nearest: 'wardrobe'"),
        ("wardrobe:skech", "nearest: 'sketch'"),
        ("digits:2", "unknown image set"),
    ],
)
def test_unknown_specs_name_the_nearest(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        images.load(spec)


def test_missing_folder_and_unknown_split() -> None:
    with pytest.raises(FileNotFoundError, match="no images at"):
        images.check("folder:nowhere/at/all")
    with pytest.raises(ValueError, match="nearest: 'test'"):
        images.load("digits", split="tests")


def test_real_photographs() -> None:
    if not (SHARED / "data").is_dir():
        pytest.skip("the CIFAR-10 parquet files are not here")
    photos = images.load(f"parquet:{SHARED / 'data'}", limit=50)
    assert photos[0].size == (32, 32)
    assert set(photos.labels) <= set(range(10))


def levels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(float)


def test_pictures_are_corrupted_by_their_severity() -> None:
    clean = images.load("digits", limit=10)
    for name in ("contrast", "gaussian_noise"):
        moved = []
        for severity in (1, 3, 5):
            spec = f"digits+{name}-{severity}"
            shifted = images.load(spec, limit=10)
            assert shifted.spec == spec
            assert (shifted.labels == clean.labels).all()
            assert (levels(shifted[9]) == levels(shifted[9])).all()
            moved.append(((levels(shifted[9]) - levels(clean[9])) ** 2).mean())
        assert moved == sorted(moved)
        assert moved[0] > 0


def test_pictures_have_noise_of_their_own(folder: Path) -> None:
    shifted = images.load(f"folder:{folder}+gaussian_noise-1", split="train")
    first, second = (levels(shifted[i])[..., 0].ravel() for i in (6, 7))
    assert min(first.std(), second.std()) > 10
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


def test_large_pictures_are_made_smaller_before_noise_is_added(
    tmp_path: Path,
) -> None:
    (tmp_path / "only").mkdir()
    for i in range(5):
        grey = Image.new("RGB", (1200, 601), (128, 128, 128))
        grey.save(tmp_path / "only" / f"{i}.png")
    (shifted,) = images.load(f"folder:{tmp_path}+gaussian_noise-1")
    assert shifted.size == (511, 256)
    assert (levels(shifted) - 128).std() == pytest.approx(0.08 * 255, rel=0.02)


def test_blur_and_snow_scale_with_the_picture(tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    point = np.zeros((256, 256, 3), np.uint8)
    point[127:130, 127:130] = 255
    for i in range(5):
        Image.fromarray(point).save(tmp_path / "only" / f"{i}.png")
    (blurred,) = images.load(f"folder:{tmp_path}+motion_blur-5")
    rows, columns = levels(blurred)[..., 0].nonzero()
    length = np.hypot(np.ptp(rows), np.ptp(columns))
    assert 256 / 64 * 16 - 4 < length < 256 / 64 * 16 + 8
    (snowy,) = images.load(f"folder:{tmp_path}+snow-1")
    flakes = levels(snowy)[:100, :, 0]
    assert flakes.std() > 5  # of 255, drawn four pixels wide
    assert np.abs(np.diff(flakes)).mean() < 0.3 * flakes.std()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digits+snw-3", "unknown corruption 'snw-3'.*'snow-3'"),
        ("digits+snow-6", "unknown corruption 'snow-6'.*'snow-"),
        ("wardrobe+snow-3", "wardrobe:snow-3"),
        ("digit+snow-3", "unknown image set 'digit'.*'digits'"),
    ],
)
def test_an_unknown_corruption_names_the_nearest(spec, message) -> None:
    with pytest.raises(ValueError, match=message):
        images.check(spec)
