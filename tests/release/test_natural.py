"""Models trained on photographs: their file, their recipes, their specs."""

import io
import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from helpers import editions, images, models
from helpers.charts.theme import styles
from helpers.editions import listings, provenance
from helpers.editions.site import stage
from helpers.lab import photographs
from helpers.models import zoo
from helpers.training import (
    data,
    evaluation,
    fleet,
    loop,
    natural_images,
    train,
)
from helpers.training.mixed_precision import Way
from helpers.training.recipes import RECIPES, members, recipe
from tests import minibook
from tests.training.test_training import tiny

torch.set_num_threads(1)
SHARED = Path(__file__).resolve().parents[3] / "shared"
CPU = torch.device("cpu")
NAMES = tuple("abcdefghij")
COUNTS = {"train": 120, "test": 40}


def noise(count: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (count, 32, 32, 3), np.uint8)


def write(path: Path, pictures: np.ndarray, classes: int) -> None:
    cells = []
    for picture in pictures:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        cells.append({"bytes": file.getvalue()})
    names = NAMES[:classes]
    kinds = {"label": {"_type": "ClassLabel", "names": names}}
    note = json.dumps({"info": {"features": kinds}})
    labels = [i % classes for i in range(len(cells))]
    table = pa.table({"img": cells, "label": labels})
    pq.write_table(table.replace_schema_metadata({"huggingface": note}), path)


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The spec of a set of ten classes, in an empty folder of runs."""
    monkeypatch.setenv("VITSCOPE_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, (split, count) in enumerate(COUNTS.items()):
        write(folder / f"{split}.parquet", noise(count, seed), 10)
    return f"parquet:{folder}"


@pytest.fixture
def photos(spec: str) -> photographs.Photographs:
    natural_images.prepare(spec)
    return photographs.load()


def test_every_photograph_is_kept_with_its_label(
    spec: str, photos: photographs.Photographs
) -> None:
    for seed, split in enumerate(COUNTS):
        pictures = noise(COUNTS[split], seed)
        wanted = {p.tobytes(): i % 10 for i, p in enumerate(pictures)}
        found = images.load("natural", split)
        kept = [np.asarray(found[i]).tobytes() for i in range(len(found))]
        assert dict(zip(kept, found.labels, strict=True)) == wanted
        assert kept != list(wanted)
        assert found.class_names == NAMES
    assert photos.facts["spec"] == spec


def test_training_sees_what_the_model_would_be_given(
    tmp_path: Path, spec: str
) -> None:
    """But for PIL's rounding between its two passes: 1.5 of 255 levels."""
    calm = noise(40, 1) // 4 + 96
    write(tmp_path / "photos/test.parquet", calm, 10)
    natural_images.prepare(spec)
    photos = photographs.load()
    model = models.load("natural/vit_narrow?random", CPU)
    shown, labels = photos.draw("test", torch.arange(5), CPU)
    found = images.load("natural")
    pages = torch.stack([model.transform(found[i]) for i in range(5)])
    assert (shown - (pages + 1) / 2).abs().max() < 1.5 / 255
    assert labels.tolist() == found.labels[:5].tolist()


def test_pictures_of_other_sizes_become_squares(
    tmp_path: Path, spec: str
) -> None:
    wide = np.zeros((30, 80, 200, 3), np.uint8)
    wide[:, :, 60:140] = (200, 100, 50)
    for split in COUNTS:
        write(tmp_path / "photos" / f"{split}.parquet", wide, 10)
    natural_images.prepare(spec)
    pixels = photographs.load().pixels["train"]
    assert pixels.shape == (30, 3, 64, 64)
    middle = pixels[0, :, 32, 3:-3].T
    assert middle.unique(dim=0).tolist() == [[200, 100, 50]]


def test_the_file_is_made_once_and_of_ten_classes(
    tmp_path: Path, spec: str
) -> None:
    with pytest.raises(FileNotFoundError, match="vitscope train natural"):
        images.check("natural")
    with pytest.raises(ValueError, match="unknown image set 'digit'"):
        natural_images.prepare("digit")
    path = natural_images.prepare(spec)
    before = path.stat().st_mtime_ns
    assert natural_images.prepare() == natural_images.prepare(spec) == path
    assert path.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r"made of 'parquet:.* move "):
        natural_images.prepare("digits")
    path.unlink()
    for split in COUNTS:
        write(tmp_path / "photos" / f"{split}.parquet", noise(9, 0), 3)
    with pytest.raises(ValueError, match="has 3 classes"):
        natural_images.prepare(spec)
    assert not list(path.parent.iterdir())


def test_damaged_and_other_photographs_are_refused(
    photos: photographs.Photographs,
) -> None:
    path, sha256 = photographs.path(), photos.facts["sha256"]
    assert photographs.load(sha256[:12]).facts == photos.facts
    with pytest.raises(ValueError, match="other photographs"):
        photographs.load("0" * 12)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"damaged: .*expected {sha256}"):
        photographs.load()
    path.write_bytes(content[:1000])
    with pytest.raises(ValueError, match="damaged"):
        photographs.load()


def test_recipes_are_the_labs_with_other_images() -> None:
    assert members(["mae", "natural"])[0] == "mae"
    assert members(["natural"]) == [f"natural/{name}" for name in RECIPES]
    for name, lab in RECIPES.items():
        own = recipe(f"natural/{name}")
        changed = {k for k, v in asdict(own).items() if v != asdict(lab)[k]}
        assert changed <= {"data", "init_from"}, name
        assert own.init_from in ("", f"natural/{lab.init_from}")
        elsewhere = lab.data == "digits" or lab.variant != "none"
        assert own.data == (lab.data if elsewhere else "natural")
    with pytest.raises(ValueError, match="nearest: 'natural/mae'"):
        recipe("natural/maee")
    heads = {
        name: zoo.build(f"natural/{name}").num_classes for name in zoo.NAMES
    }
    assert heads.pop("vit_cls_ft_sketch") == 100
    assert {
        heads.pop(name) for name in ("moco_v3", "moco_v3_twin", "dino", "mae")
    } == {0}
    assert set(heads.values()) == {10}


def test_a_share_of_the_photographs(photos: photographs.Photographs) -> None:
    how = replace(recipe("natural/vit_few"), batch=200, fraction=0.1)
    few, _ = photos.draw("train", torch.arange(12), CPU)
    batch = data.batch(how, 3, CPU)
    shown, labels = batch.images, batch.labels
    assert batch.partners is shown
    assert len(shown.flatten(1).unique(dim=0)) == 12
    hits = (shown[:, None] == few[None]).flatten(2).all(2)
    assert hits.any(1).all()
    known = photos.labels["train"][:12]
    assert torch.equal(known[hits.int().argmax(1)], labels)
    assert torch.equal(shown, data.batch(how, 3, CPU).images)


def test_what_a_model_is_evaluated_on(
    photos: photographs.Photographs,
) -> None:
    for name in ("vit_cls", "vit_cls_ft_digits"):
        pixels, labels = data.shown(recipe(f"natural/{name}"), "test", 99, CPU)
        assert pixels.shape == (COUNTS["test"], 3, 64, 64)
        assert pixels.dtype == torch.uint8
        assert set(labels) == {"class"}
        assert torch.equal(labels["class"], photos.labels["test"])
    for name in ("vit_cls_ft_digits", "natural/vit_cls_ft_sketch"):
        pixels, labels = data.shown(recipe(name), "test", 2, CPU)
        assert set(labels) == {"garment", "fabric", "class"}


def test_a_model_is_trained_kept_and_loaded(
    tmp_path: Path, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "BANK", 100)
    with pytest.raises(FileNotFoundError, match="train natural/vit_narrow`"):
        models.check("natural/vit_narrow")
    with pytest.raises(ValueError, match="--images is for natural models"):
        fleet.run(["vit_narrow"], 128, device="cpu", images=spec)
    order = {"scenes": 128, "device": "cpu", "images": spec}
    fleet.run(["natural/vit_narrow"], **order)
    home = tmp_path / "runs/natural"
    checkpoint = home / "vit_narrow/annealed-2.pt"
    assert checkpoint.is_file()
    assert [p.name for p in sorted((home / "zoo").iterdir())] == [
        "vit_narrow.safetensors",
        "zoo.json",
    ]
    card = zoo.cards("natural/")["natural/vit_narrow"]
    assert "natural/vit_narrow" not in zoo.cards()
    assert card["draft"]
    assert card["photographs"] == photographs.load().facts
    for probe in ("knn", "linear", "head"):
        assert 0 <= card["accuracy"][probe]["class"] <= 1
    model = models.load("natural/vit_narrow", CPU)
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 10)
    trained = torch.load(checkpoint)["objective"]["encoder.norm.weight"]
    kept = model.module.state_dict()["norm.weight"]
    assert torch.equal(kept, trained.half().float())
    assert "natural/vit_narrow" in listings.zoo()
    with pytest.raises(ValueError, match="nearest: 'natural/mixer'"):
        models.check("natural/mixr")


def test_a_training_stays_with_its_photographs(
    tmp_path: Path, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "build", tiny)
    natural_images.prepare(spec)
    short = partial(
        *(train, "natural/vit_cls", 16, "cpu"),
        recipe=replace(recipe("natural/vit_cls"), batch=4),
        runs=tmp_path,
        way=Way("float32"),
    )
    batch = data.batch

    def killed(*given):
        if given[1] == 2:
            raise KeyboardInterrupt
        return batch(*given)

    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(data, "batch", killed)
    with pytest.raises(KeyboardInterrupt):
        short()
    monkeypatch.setattr(data, "batch", batch)
    photographs.path().unlink()
    write(tmp_path / "photos/train.parquet", noise(50, 9), 10)
    natural_images.prepare(spec)
    with pytest.raises(ValueError, match="belongs to another recipe"):
        short()


def test_pages_depend_on_natural_models_and_photographs(
    tmp_path: Path, photos: photographs.Photographs
) -> None:
    zoo.save("natural/vit_narrow", zoo.build("natural/vit_narrow"), {})
    root = minibook.make(tmp_path / "book")

    def digest(model: str, word: str) -> str:
        values = {"model": model, "names": [word]}
        edition = editions.Edition("x", "X", {}, {"first": values})
        job = editions.plan(edition, root, validators={})[0]
        return provenance.inputs(job, {})["data"]

    def both() -> tuple[str, str]:
        return digest("natural/vit_narrow", ""), digest("", "natural")

    model, pictures = both()
    zoo.save("natural/vit_narrow", zoo.build("natural/vit_narrow"), {})
    assert (both()[0] != model, both()[1] == pictures) == (True, True)
    photographs.path().touch()
    assert both()[1] != pictures


def test_pages_left_out(tmp_path: Path) -> None:
    root = minibook.make(tmp_path)
    path = root / "e.yaml"
    path.write_text("title: E\nleft_out:\n  second: it has no sense here.\n")
    edition = editions.load(str(path), root)
    jobs = editions.plan(edition, root, validators={})
    assert [job.page for job in jobs] == ["first", "claims"]
    with pytest.raises(ValueError, match="out of edition e: it has no sense"):
        editions.plan(edition, root, ["second"], {})
    assert "left_out:\n  second: it has no sense here." in edition.text()
    site = stage(edition, root, [])
    text = (site / "book/second.md").read_text()
    _, note = text.split("# The second page\n\n")
    assert note.startswith(":::{note}\nNot part of this edition: it has no")
    assert "Not part" not in (site / "book/first.md").read_text()
    path.write_text("title: E\nleft_out:\n  secnd: it has no sense.\n")
    with pytest.raises(ValueError, match="nearest: 'second'"):
        editions.plan(editions.load(str(path), root), root, validators={})


def test_the_edition_names_natural_models_only(root: Path) -> None:
    edition = editions.load("natural", root)
    for job in editions.plan(edition, root, validators={}):
        assert "lab/" not in json.dumps(job.parameters), job.page
    used = json.dumps([edition.parameters, edition.pages])
    for name in zoo.cards():
        assert f'"natural/{name}"' in used


def test_colours_are_the_models_own_once() -> None:
    lab, natural, both = (
        styles(names)
        for names in (
            ["lab/mae", "lab/dino"],
            ["natural/mae", "natural/dino"],
            ["lab/mae", "natural/mae"],
        )
    )
    assert lab == natural
    assert both[0] == lab[0]
    assert both[1] != both[0]


def test_real_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (SHARED / "data").is_dir():
        pytest.skip("the CIFAR-10 parquet files are not here")
    monkeypatch.setenv("VITSCOPE_RUNS", str(tmp_path))
    monkeypatch.setattr(images, "load", partial(images.load, limit=100))
    natural_images.prepare(f"parquet:{SHARED / 'data'}")
    how = recipe("natural/vit_cls")
    batch = data.batch(how, 0, CPU)
    shown, labels = batch.images, batch.labels
    assert shown.shape == (how.batch, 3, 64, 64)
    assert 0.3 < shown.mean() < 0.6
    assert labels.unique().tolist() == list(range(10))
