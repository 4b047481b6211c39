"""The scenes are what their factors say, alone or in any batch."""

import dataclasses
import importlib.util
import sys
import zipfile
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from scipy.spatial import distance
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from helpers.lab import wardrobe
from helpers.lab.scenes import corruptions, fabrics, hashing
from helpers.lab.wardrobe import FABRICS, GARMENTS, UNSEEN_FABRICS, compose
from helpers.runtime.paths import DATA

MANY = 20_000
PLAIN = FABRICS.index("plain")


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with np.load(DATA / "garments.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def scenes() -> wardrobe.Scenes:
    return compose("train", range(256))


@pytest.fixture(scope="module")
def bare() -> wardrobe.Scenes:
    return compose("train", range(256), variant="no_background")


@pytest.fixture(scope="module")
def factors() -> dict[str, np.ndarray]:
    drawn = wardrobe.factors("train", range(MANY))
    return {name: values.numpy() for name, values in drawn.items()}


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    path = DATA / "make_garments.py"
    if not path.is_file():
        pytest.skip("data/make_garments.py is in a checkout only")
    spec = importlib.util.spec_from_file_location("make_garments", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_garments"] = module
    spec.loader.exec_module(module)
    if not module.FOLDER.is_dir():
        pytest.skip(
            f"needs the package dataset-fashion-mnist: {module.FOLDER}"
        )
    return module


def not_grey(pixels: Tensor) -> np.ndarray:
    """Pixels that the garment covers, where the background is mid grey."""
    return (pixels != 128).any(1).numpy()


# Numbers


def test_mix_is_the_published_hash() -> None:
    x = np.random.default_rng(0).integers(0, 2**32, 10_000, np.uint32)
    y = x.copy()
    y ^= y >> np.uint32(16)
    y *= np.uint32(0x21F0AAAD)
    y ^= y >> np.uint32(15)
    y *= np.uint32(0x735A2D97)
    y ^= y >> np.uint32(15)
    ours = hashing.mix(torch.from_numpy(x.astype(np.int64)))
    assert np.array_equal(ours.numpy(), y)


def test_keys_differ() -> None:
    index = torch.arange(300_000)
    one, two = hashing.keys(index, 0, 0), hashing.keys(index, 0, 1)
    assert len(one.unique()) == len(index)
    assert (one == two).sum() < 3
    far = hashing.keys(index[:9] + 2**32, 0, 0)
    assert not torch.equal(far, one[:9])


def test_draws_are_uniform_and_uncorrelated() -> None:
    word = hashing.words(hashing.keys(torch.arange(MANY), 1, 7), 24, 1)
    u = hashing.uniform(word).double().numpy()
    assert u.min() >= 0
    assert u.max() < 1
    p = [stats.kstest(column, "uniform").pvalue for column in u.T]
    assert min(p) > 1e-4
    r = np.corrcoef(u.T) - np.eye(24)
    assert abs(r).max() < 4.5 / MANY**0.5
    serial = [np.corrcoef(c[1:], c[:-1])[0, 1] for c in u.T]
    assert np.abs(serial).max() < 4.5 / MANY**0.5


def test_normal_is_normal() -> None:
    word = hashing.words(hashing.keys(torch.arange(8), 3), 5_000, 2)
    z = hashing.normal(word).double().numpy()
    assert z.shape == (8, 10_000)
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-4


# Determinism


@pytest.mark.parametrize("variant", wardrobe.VARIANTS)
def test_a_scene_does_not_depend_on_its_batch(variant: str) -> None:
    index = [5, 1, 70_000, 3, 2**40, 17, 0]
    whole = compose("test", index, seed=3, variant=variant)
    again = compose("test", index, seed=3, variant=variant)
    assert torch.equal(whole.pixels, again.pixels)
    for row in range(0, len(index), 3):
        alone = compose("test", index[row : row + 1], 3, variant)
        assert torch.equal(alone.pixels[0], whole.pixels[row])
        for name, values in whole.factors.items():
            assert alone.factors[name][0] == values[row], name


def test_batches_across_chunks(scenes: wardrobe.Scenes) -> None:
    part = compose("train", torch.arange(90, 205))
    assert torch.equal(part.pixels, scenes.pixels[90:205])


def test_threads_do_not_matter(scenes: wardrobe.Scenes) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2 if threads == 1 else 1)
        other = compose("train", range(128))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(other.pixels, scenes.pixels[:128])


def test_global_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    compose("test", range(3), variant="gaussian_noise-2")
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("split", "seed"), [("train", 1), ("test", 0)])
def test_seeds_and_splits_differ(
    scenes: wardrobe.Scenes, split: str, seed: int
) -> None:
    other = compose(split, range(256), seed=seed)
    assert (other.pixels == scenes.pixels).float().mean() < 0.05
    same = other.factors["class"] == scenes.factors["class"]
    assert same.float().mean() < 0.05


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("variant", ["none", "snow-3", "speckle_noise-5"])
def test_cuda_agrees(variant: str) -> None:
    here = compose("test", range(300), variant=variant)
    there = compose("test", range(300), variant=variant, device="cuda")
    for name in ("class", "photograph", "x", "hue"):
        assert torch.equal(here.factors[name], there.factors[name].cpu())
    gap = (here.pixels.int() - there.pixels.cpu().int()).abs()
    assert (gap > 1).float().mean() < 1e-4


# Factors


def test_shapes_and_names(scenes: wardrobe.Scenes) -> None:
    assert scenes.pixels.shape == (256, 3, 64, 64)
    assert scenes.pixels.dtype == torch.uint8
    assert len(GARMENTS) == len(FABRICS) == 10
    assert len(set(FABRICS + UNSEEN_FABRICS)) == 10 + len(UNSEEN_FABRICS) >= 14
    assert {v.shape for v in scenes.factors.values()} == {(256,)}
    with pytest.raises(dataclasses.FrozenInstanceError):
        scenes.pixels = scenes.pixels  # type: ignore[misc]


def test_class_is_garment_and_fabric(
    scenes: wardrobe.Scenes, arrays: dict[str, np.ndarray]
) -> None:
    f = scenes.factors
    assert torch.equal(f["class"], 10 * f["garment"] + f["fabric"])
    labels = arrays["train_labels"][f["photograph"].numpy()]
    assert np.array_equal(labels, f["garment"].numpy())


def test_discrete_factors_are_uniform(factors: dict[str, np.ndarray]) -> None:
    counts = np.bincount(factors["class"], minlength=100)
    assert stats.chisquare(counts).pvalue > 1e-4
    table = counts.reshape(10, 10)
    assert stats.chi2_contingency(table).pvalue > 1e-4
    photographs = np.bincount(factors["photograph"], minlength=16_000)
    assert stats.chisquare(photographs).pvalue > 1e-4


def test_continuous_factors_are_uniform(
    factors: dict[str, np.ndarray],
) -> None:
    for name, low, high in (
        ("size", 0.72, 0.98),
        ("tilt", -12, 12),
        ("hue", 0, 1),
        ("coarseness", 0, 1),
    ):
        u = (factors[name].astype(float) - low) / (high - low)
        assert stats.kstest(u, "uniform").pvalue > 1e-4, name
    for name in "xy":
        assert abs(factors[name]).max() <= 1.06 - factors["size"].min()
        u = factors[name].astype(float) / (1.06 - factors["size"])
        assert stats.kstest((u + 1) / 2, "uniform").pvalue > 1e-4, name


def test_factors_are_independent(factors: dict[str, np.ndarray]) -> None:
    for what in ("garment", "fabric"):
        for name in ("x", "y", "size", "tilt", "hue", "coarseness"):
            groups = [factors[name][factors[what] == k] for k in range(10)]
            assert stats.kruskal(*groups).pvalue > 1e-4, (what, name)


@pytest.mark.parametrize("share", [0.03, 0.1, 1.0])
def test_shares_are_nested_and_balanced(
    share: float, arrays: dict[str, np.ndarray]
) -> None:
    _, first = wardrobe.photographs("train")
    drawn = wardrobe.factors("train", range(MANY), garments=share)
    used = drawn["photograph"].unique().numpy()
    place = used - np.array(first)[arrays["train_labels"][used]]
    assert place.max() < round(1600 * share)
    if share < 1:
        assert len(used) == 10 * round(1600 * share)
    scenes = compose("train", range(20), garments=share)
    assert torch.equal(scenes.factors["photograph"], drawn["photograph"][:20])


def test_a_share_changes_the_photograph_only(scenes: wardrobe.Scenes) -> None:
    few = compose("train", range(256), garments=0.1)
    for name, values in few.factors.items():
        same = torch.equal(values, scenes.factors[name])
        assert same == (name != "photograph")


# Pictures


def test_the_garment_stands_where_the_factors_say(
    bare: wardrobe.Scenes, arrays: dict[str, np.ndarray]
) -> None:
    f = {name: values.numpy() for name, values in bare.factors.items()}
    covered = not_grey(bare.pixels)
    overlap, shift = [], []
    for i in range(200):
        image = arrays["train_images"][f["photograph"][i]]
        mask = ndimage.binary_closing(np.pad(image > 4, 2), np.ones((3, 3)))
        angle = np.deg2rad(f["tilt"][i])
        # From a pixel (row, column) of the scene to one of the photograph.
        turn = np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        )
        turn *= 28 / 64 / f["size"][i]
        centre = 31.5 + 32 * np.array([f["y"][i], f["x"][i]])
        expected = ndimage.affine_transform(
            mask.astype(float),
            turn,
            15.5 - turn @ centre,
            (64, 64),
            order=1,
        )
        expected = expected > 0.35
        both = expected & covered[i]
        overlap.append(both.sum() / (expected | covered[i]).sum())
        gap = np.subtract(
            ndimage.center_of_mass(covered[i]),
            ndimage.center_of_mass(expected),
        )
        shift.append(gap)
    assert np.median(overlap) > 0.9
    assert min(overlap) > 0.6
    assert np.abs(np.mean(shift, 0)).max() < 0.1
    assert np.abs(shift).max() < 1.5


def test_garments_are_in_view(bare: wardrobe.Scenes) -> None:
    covered = not_grey(bare.pixels)
    area = covered.mean((1, 2))
    assert 0.15 < area.mean() < 0.45
    edge = covered.copy()
    edge[:, 1:-1, 1:-1] = False
    assert (edge.sum((1, 2)) > 40).mean() < 0.03


@pytest.mark.parametrize("variant", wardrobe.VARIANTS)
def test_variants_keep_the_factors(
    scenes: wardrobe.Scenes, variant: str
) -> None:
    part = compose("train", range(16), variant=variant)
    for name, values in part.factors.items():
        expected = scenes.factors[name][:16]
        if variant == "unseen_fabrics" and name in ("fabric", "class"):
            fabric = scenes.factors["fabric"][:16] % len(UNSEEN_FABRICS)
            garment = scenes.factors["garment"][:16]
            count = len(UNSEEN_FABRICS)
            expected = fabric if name == "fabric" else count * garment + fabric
        assert torch.equal(values, expected), name
    assert (variant == "none") == torch.equal(part.pixels, scenes.pixels[:16])


@pytest.mark.parametrize("variant", ["none", "unseen_backgrounds"])
def test_backgrounds_leave_the_garment(
    bare: wardrobe.Scenes, variant: str
) -> None:
    other = compose("train", range(256), variant=variant).pixels
    inside = torch.from_numpy(
        ndimage.binary_erosion(not_grey(bare.pixels), np.ones((1, 5, 5), bool))
    )
    gap = (other.int() - bare.pixels.int()).abs().amax(1)
    assert (gap[inside] <= 1).float().mean() > 0.99
    assert gap[~torch.from_numpy(not_grey(bare.pixels))].float().mean() > 20


def test_unseen_fabrics_leave_the_background(
    scenes: wardrobe.Scenes, bare: wardrobe.Scenes
) -> None:
    other = compose("train", range(256), variant="unseen_fabrics").pixels
    covered = not_grey(bare.pixels)
    near = ndimage.binary_dilation(covered, np.ones((1, 5, 5), bool))
    differs = (other != scenes.pixels).any(1).numpy()
    assert not (differs & ~near).any()
    assert differs[covered].mean() > 0.3


def test_plain_has_one_colour_and_others_two(bare: wardrobe.Scenes) -> None:
    inside = ndimage.binary_erosion(
        not_grey(bare.pixels), np.ones((1, 5, 5), bool)
    )
    pixels = bare.pixels.numpy().transpose(0, 2, 3, 1)
    spread: dict[int, list[float]] = {k: [] for k in range(10)}
    for i, fabric in enumerate(bare.factors["fabric"].tolist()):
        colour = pixels[i][inside[i]].astype(float)
        colour = colour[(colour.max(1) < 255) & (colour.sum(1) > 60)]
        if len(colour) > 100:
            tone = colour / colour.sum(1, keepdims=True)
            spread[fabric].append(tone.std(0).sum())
    middle = {FABRICS[k]: np.median(v) for k, v in spread.items()}
    one = middle.pop("plain")
    assert one < 0.02
    assert min(middle.values()) > 3 * one, middle


def test_coarseness_smooths_the_background(
    scenes: wardrobe.Scenes, bare: wardrobe.Scenes
) -> None:
    apart = ndimage.binary_dilation(
        not_grey(bare.pixels), np.ones((1, 3, 3), bool)
    )
    grey = scenes.pixels.double().mean(1).numpy()
    rough = []
    for picture, hidden in zip(grey, apart, strict=True):
        step = np.diff(picture)[~(hidden[:, 1:] | hidden[:, :-1])]
        rough.append(step.std() / picture[~hidden].std())
    rank = stats.spearmanr(scenes.factors["coarseness"].numpy(), rough)
    assert rank.statistic < -0.6


def test_hue_is_the_hue_of_the_background(
    scenes: wardrobe.Scenes, bare: wardrobe.Scenes
) -> None:
    free = torch.from_numpy(~not_grey(bare.pixels)).float()[:, None]
    mean = (scenes.pixels * free).sum((2, 3)) / free.sum((2, 3))
    r, g, b = mean.double().T
    angle = torch.atan2(3**0.5 * (g - b), 2 * r - g - b).numpy()
    gap = angle - 2 * np.pi * scenes.factors["hue"].double().numpy()
    assert np.cos(gap).mean() > 0.5


def test_sketch_is_dark_lines_on_white(bare: wardrobe.Scenes) -> None:
    drawn = compose("train", range(256), variant="sketch").pixels
    assert torch.equal(drawn[:, 0], drawn[:, 1])
    assert torch.equal(drawn[:, 0], drawn[:, 2])
    near = ndimage.binary_dilation(
        not_grey(bare.pixels), np.ones((1, 7, 7), bool)
    )
    assert (drawn[:, 0].numpy()[~near] == 255).all()
    dark = (drawn[:, 0] < 128).float().mean((1, 2))
    assert 0.02 < dark.mean() < 0.3


@pytest.mark.parametrize("name", [*fabrics.SEEN, *fabrics.UNSEEN])
def test_fabrics_are_two_coloured(name: str) -> None:
    weave = (fabrics.SEEN | fabrics.UNSEEN)[name]
    u, v = torch.rand(2, 50_000, generator=torch.manual_seed(0)) * 8 - 4
    pattern = weave(u, v)
    assert pattern.min() >= 0
    assert pattern.max() <= 1
    if name == "plain":
        assert not pattern.any()
    else:
        assert 0.1 < pattern.mean() < 0.9
        assert pattern.std() > 0.25


@pytest.mark.parametrize(
    ("name", "along", "across"),
    [
        ("stripes", 1, None),
        ("checks", 1 / 0.6, 1 / 0.6),
        ("dots", 1, 1),
        ("zigzag", 1 / 0.55, 1),
        ("plaid", 1 / 0.7, 1 / 0.7),
        ("bricks", 1 / 0.6, 2 / 1.2),
    ],
)
def test_fabrics_repeat(name: str, along: float, across: float | None) -> None:
    weave = fabrics.SEEN[name]
    u, v = torch.rand(2, 5_000, generator=torch.manual_seed(0)).double() * 4
    shift = 0.37 if across is None else across
    here = weave(u, v)
    assert torch.allclose(here, weave(u + along, v), atol=1e-6)
    assert torch.allclose(here, weave(u, v + shift), atol=1e-6)
    assert not torch.allclose(here, weave(u + along / 3, v), atol=0.1)


# Corruptions


def test_noise_has_the_stated_spread() -> None:
    scene = torch.full((4, 3, 64, 64), 0.5)
    key = hashing.keys(torch.arange(4))
    for severity, spread in enumerate((0.08, 0.12, 0.18, 0.26, 0.38), 1):
        noise = corruptions.gaussian_noise(scene, key, severity) - scene
        assert noise.std().item() == pytest.approx(spread, rel=0.02)
        speckle = corruptions.speckle_noise(scene, key, severity) - scene
        expected = (0.15, 0.2, 0.35, 0.45, 0.6)[severity - 1] / 2
        assert speckle.std().item() == pytest.approx(expected, rel=0.02)


def test_contrast_keeps_the_mean(scenes: wardrobe.Scenes) -> None:
    dim = compose("train", range(64), variant="contrast-3").pixels.double()
    full = scenes.pixels[:64].double()
    assert (dim.mean((2, 3)) - full.mean((2, 3))).abs().max() < 0.6
    ratio = dim.std((2, 3)) / full.std((2, 3))
    assert ratio.mean().item() == pytest.approx(0.2, rel=0.02)


def test_motion_blur_smears_a_point_along_a_line() -> None:
    point = torch.zeros(6, 3, 65, 65)
    point[:, :, 32, 32] = 1
    for severity, length in enumerate((4, 6, 9, 12, 16), 1):
        key = hashing.keys(torch.arange(6))
        image = corruptions.motion_blur(point, key, severity)[:, 0].double()
        assert torch.allclose(
            image.sum((1, 2)), torch.ones(6).double(), atol=1e-3
        )
        y, x = torch.meshgrid(*[torch.arange(-32.0, 33)] * 2, indexing="ij")
        for mass in image:
            moments = [
                (mass * a * b).sum() for a, b in ((x, x), (x, y), (y, y))
            ]
            matrix = torch.tensor(
                [[moments[0], moments[1]], [moments[1], moments[2]]]
            )
            thin, long = torch.linalg.eigvalsh(matrix)
            assert thin < 0.4
            uniform = length * (length + 2) / 12
            assert long.item() == pytest.approx(uniform, abs=0.5)


@pytest.mark.parametrize("name", corruptions.CORRUPTIONS)
def test_severities_grow(scenes: wardrobe.Scenes, name: str) -> None:
    full = scenes.pixels[:48].double()
    gaps = [
        (compose("train", range(48), variant=f"{name}-{k}").pixels - full)
        .abs()
        .mean()
        .item()
        for k in wardrobe.SEVERITIES
    ]
    assert gaps == sorted(gaps)
    assert gaps[0] > 1
    assert gaps[-1] > 1.3 * gaps[0]


# Bad input


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({"split": "trian"}, ValueError, "unknown split 'trian'.*'train'"),
        ({"variant": "skech"}, ValueError, "unknown variant.*'sketch'"),
        ({"variant": "snow-6"}, ValueError, "unknown variant.*'snow-"),
        ({"variant": "snow"}, ValueError, "unknown variant.*'snow-"),
        ({"index": [0, -2]}, ValueError, "at least 0, not -2"),
        ({"index": [[1]]}, ValueError, r"\(n,\), not \(1, 1\)"),
        ({"index": [0.5]}, TypeError, "integers, not float64"),
        ({"index": [True]}, TypeError, "integers, not bool"),
        ({"garments": 0.0}, ValueError, r"\(0, 1\], not 0.0"),
        ({"garments": 1.5}, ValueError, r"\(0, 1\], not 1.5"),
    ],
)
def test_bad_input(
    call: dict[str, object], error: type[Exception], message: str
) -> None:
    arguments: dict[str, object] = {"split": "test", "index": [0], **call}
    with pytest.raises(error, match=message):
        compose(**arguments)  # type: ignore[arg-type]


def test_no_scenes() -> None:
    none = compose("test", [])
    assert none.pixels.shape == (0, 3, 64, 64)
    assert none.factors["class"].shape == (0,)


# The photographs


def test_the_file_is_small_and_balanced(
    arrays: dict[str, np.ndarray],
) -> None:
    assert (DATA / "garments.npz").stat().st_size <= 8_000_000
    for split, count in (("train", 1600), ("test", 400)):
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        assert images.shape == (10 * count, 28, 28)
        assert images.dtype == labels.dtype == np.uint8
        assert np.array_equal(labels, np.repeat(np.arange(10), count))
        assert not (images % 4).any()
        assert images.any((1, 2)).all()


def test_no_photograph_is_in_both_splits(
    arrays: dict[str, np.ndarray],
) -> None:
    train, test = (
        {image.tobytes() for image in arrays[f"{split}_images"]}
        for split in ("train", "test")
    )
    assert not train & test


def test_the_file_has_no_dates() -> None:
    with zipfile.ZipFile(DATA / "garments.npz") as file:
        dates = {entry.date_time for entry in file.infolist()}
    assert dates == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("split", ["train", "test"])
def test_neighbours_confirm_the_photographs(
    maker: ModuleType, arrays: dict[str, np.ndarray], split: str
) -> None:
    bank, names = maker.read(maker.FOLDER, "train")
    images, labels = maker.read(maker.FOLDER, split)
    bank, images = (
        np.where(a <= 4, 0, np.clip((a + 2.0) // 4 * 4, 0, 252))
        for a in (bank, images)
    )
    place = {a.astype(np.uint8).tobytes(): i for i, a in enumerate(images)}
    chosen = [place[a.tobytes()] for a in arrays[f"{split}_images"]]
    assert np.array_equal(labels[chosen], arrays[f"{split}_labels"])
    by_class = np.array(chosen).reshape(10, -1)
    assert (np.diff(by_class) > 0).all()

    rows = np.random.default_rng(0).choice(by_class[:, -1].min(), 250, False)
    flat = bank.reshape(len(bank), -1).astype(np.float32)
    search = NearestNeighbors(n_neighbors=12, algorithm="brute").fit(flat)
    far, near = search.kneighbors(images[rows].reshape(250, -1))
    itself = split == "train"
    decided = far[:, 10 + itself] - far[:, 9 + itself] > 0.01
    if itself:
        decided &= near[:, 0] == rows
    assert decided.sum() > 200
    voters = names[near[:, itself : 10 + itself]]
    kept = (voters == labels[rows, None]).sum(1) >= 7
    assert np.array_equal(kept[decided], np.isin(rows, chosen)[decided])


@pytest.mark.parametrize("itself", [True, False])
def test_the_vote(
    maker: ModuleType, arrays: dict[str, np.ndarray], itself: bool
) -> None:
    rows = np.random.default_rng(0).choice(16_000, 1300, False)
    rows = rows if itself else rows[:400]
    bank, names = arrays["train_images"][::13], arrays["train_labels"][::13]
    images, labels = arrays["train_images"][rows], arrays["train_labels"][rows]
    if itself:
        bank, names = images, labels
    far = distance.cdist(images.reshape(len(rows), -1), bank.reshape(-1, 784))
    if itself:
        np.fill_diagonal(far, np.inf)
    votes = [
        (names[row <= np.sort(row)[9]] == label).mean()
        for row, label in zip(far, labels, strict=True)
    ]
    kept = maker.confirmed(images, labels, bank, names, itself)
    assert np.array_equal(kept, np.array(votes) >= 0.7)
    assert 0.05 < 1 - kept.mean() < 0.6


@pytest.mark.parametrize("group", wardrobe.NUISANCES)
def test_what_is_redrawn_changes_and_nothing_else(group: str) -> None:
    index = range(20)
    one = wardrobe.compose("train", index)
    two = wardrobe.compose("train", index, redrawn=(group,))
    assert not torch.equal(one.pixels, two.pixels)
    changed = {
        name
        for name in one.factors
        if not torch.equal(one.factors[name], two.factors[name])
    }
    shown = set(wardrobe.NUISANCES[group]) & set(one.factors)
    assert changed == shown
    alone = wardrobe.compose("train", [7], redrawn=(group,))
    assert torch.equal(alone.pixels[0], two.pixels[7])


def test_a_group_that_cannot_be_redrawn_is_refused() -> None:
    with pytest.raises(ValueError, match="nearest: 'background'"):
        wardrobe.compose("train", [0], redrawn=("backgrounds",))
