"""Editions before they run: the papers', a rehearsal, one of your own."""

import socket
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import constants
from typer.testing import CliRunner

from helpers import __main__ as cli
from helpers import editions, images, models
from helpers.editions import (
    edition,
    new_edition,
    plan_listing,
    required_files,
    run,
    smoke,
)
from helpers.editions.edition import Edition
from helpers.models import releases, vision_model
from helpers.runtime.paths import checkout
from tests import minibook

ROOT = checkout()
MODELLESS = {
    *("the_lab", "architectures", "results"),
    *("claims", "coverage", "execution"),
}
NEW = "an-edition-nobody-has-run"
KEPT = {
    "the_lab", "measuring_similarity", "local_and_global", "localized_probes",
    "scale_and_transfer", "finetuning_and_representations", "ssl_finetuning",
}  # fmt: skip
"""Pages that no list of models can fill."""
LAB_IMAGES = MODELLESS | {"what_is_encoded_where"}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch, tmp_path):
    def refuse(*address):
        raise AssertionError(f"asked the network for {address}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("VITSCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The editions of the book, in a folder that may be written to."""
    kept = tmp_path / "data" / "editions"
    kept.mkdir(parents=True)
    for name in ("lab", "smoke"):
        text = (edition.FOLDER / f"{name}.yaml").read_text("utf-8")
        (kept / f"{name}.yaml").write_text(text, "utf-8")
    monkeypatch.setattr(edition, "FOLDER", kept)
    monkeypatch.chdir(tmp_path)
    return kept


def plan(edition):
    return {job.page: job for job in editions.plan(edition, ROOT)}


def paper():
    return editions.load("paper", ROOT)


def counts(job):
    """The numbers of images that a page draws."""
    return {
        name: job.parameters[name]
        for name, own in job.declared.items()
        if new_edition.is_count(own)
    }


def test_the_paper_edition_names_what_exists():
    jobs = plan(paper())  # checks every name, type and spec
    for page, job in jobs.items():
        specs = job.specs("model spec")
        assert bool(specs) == (page not in MODELLESS)
        assert not [s for s in specs if s.startswith(vision_model.LAB)], page
        lab = {s for s in job.specs("image spec") if s == "wardrobe"}
        kept = {"the_lab", "what_is_encoded_where", "architectures"}
        assert bool(lab) == (page in kept)


def test_the_paper_edition_has_the_papers_sizes():
    jobs = plan(paper())
    for page in ("representation_structure", "mixers", "scale_and_transfer",
                 "spatial_localization"):  # fmt: skip
        values = jobs[page].parameters
        assert (values["num_images"], values["batch_size"]) == (10240, 1024)
    for page in ("ssl_structure", "ssl_layer_types", "ssl_finetuning"):
        values = jobs[page].parameters
        assert (values["num_images"], values["batch_size"]) == (1024, 32)
    for page, job in jobs.items():
        values = job.parameters
        if page not in LAB_IMAGES:
            assert "imagenet" in job.specs("image spec"), page
        if {"batch_size", "num_images"} <= set(values):
            sized = job.declared["batch_size"]
            whole = values["num_images"] % values["batch_size"] == 0
            assert whole or "HSIC" not in sized.help, page


def test_a_bare_model_has_no_memory_for_its_weights():
    spec = "lab/vit_cls"
    found, real = required_files.bare(spec), models.load(spec, "cpu")
    assert found.num_parameters == real.num_parameters
    assert {p.device.type for p in found.module.parameters()} == {"meta"}


def test_what_is_fetched_and_what_is_here(tmp_path, monkeypatch):
    for spec in ("lab/vit_cls", "release/mae_vit_b?random", "resnet50?random"):
        assert required_files.of_model(spec) is None
    item = required_files.of_model("vit_base_patch16_224.dino")
    assert (item.size, item.here) == (4 * 85_798_656, 0)
    known = releases.get("dino_vit_b_linear")
    item = required_files.of_model("release/dino_vit_b_linear")
    assert item.missing == known.megabytes * 1e6
    (tmp_path / "cache").mkdir()
    head = known.files[1]
    (tmp_path / "cache" / head.url.rsplit("/", 1)[1]).touch()
    item = required_files.of_model("release/dino_vit_b_linear")
    assert item.missing == known.files[0].megabytes * 1e6

    assert required_files.of_images("wardrobe:sketch") is None
    assert required_files.of_images("folder:photos") is None
    assert required_files.of_images("hf:owner/name").size is None
    item = required_files.of_images("imagenet")
    assert (item.size, item.note) == (None, "a part of 150 GB")
    assert required_files.of_images("cifar10").size == 0.15e9
    blobs = tmp_path / "hub" / "datasets--uoft-cs--cifar10" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "x").write_bytes(b"1" * 1000)
    assert required_files.of_images("cifar10").here == 1000


def test_plan_of_the_papers_for_a_reader():
    text = plan_listing.plan(
        paper(), ROOT, ["ssl_structure", "ssl_finetuning"]
    )
    first, fetched, total = text.split("\n\n")
    assert "ssl_structure  run: new" in first
    assert max(map(len, first.splitlines())) <= 79
    rows = {line.split()[0]: line for line in fetched.splitlines()}
    assert "non-commercial" in rows["release/moco_v3_vit_b"]
    assert "1.7 GB" in rows["release/moco_v3_vit_b"]
    assert "unknown" in rows["imagenet"]
    assert set(rows) == {
        "to", "imagenet", "release/moco_v3_vit_b", "release/mae_vit_b",
        "resnetv2_50x1_bit.goog_in21k",
        "release/dino_vit_b_linear", "release/mmpretrain_moco_v3_vit_b",
        "release/mmpretrain_moco_v3_vit_b_ft", "release/mae_vit_b_ft",
    }  # fmt: skip
    assert total.startswith("2 pages to run; ")
    assert total.endswith(" GB to fetch, and imagenet")
    lab = plan_listing.plan(
        editions.load("lab", ROOT), ROOT, ["ssl_structure"]
    )
    assert lab.endswith("0 GB to fetch")


def test_a_rehearsal_has_the_models_and_none_of_the_weight():
    small = smoke.rehearsal(paper(), ROOT)
    assert small.name == "paper-smoke"
    assert small.folder(ROOT) != paper().folder(ROOT)
    large, jobs = plan(paper()), plan(small)
    for page, job in jobs.items():
        asked, given = (
            {
                name: own.specs(x[page].parameters)
                for name, own in job.declared.items()
                if own.help.startswith("model spec")
            }
            for x in (large, jobs)
        )
        bare = {
            name: [spec.partition("?")[0] for spec in specs]
            for name, specs in asked.items()
        }
        assert given == {
            name: [f"{spec}?random" for spec in specs]
            for name, specs in bare.items()
        }
        for spec in job.specs("image spec"):
            assert required_files.of_images(spec) is None
        assert sum(counts(job).values()) <= 600
    layers = jobs["localized_probes"].parameters["cnn_layers"]
    assert layers == paper().pages["localized_probes"]["cnn_layers"]
    shift = jobs["layers_under_shift"].parameters
    assert len(set(shift["datasets"])) == 6
    assert len(shift["finetuned"]) == len(shift["finetuned_on"]) == 1
    odd = Edition("x", "X", {}, {"intro": {"vit": "lab/vit_cls?random"}})
    assert plan(smoke.rehearsal(odd, ROOT))["intro"].parameters["vit"] == (
        "lab/vit_cls?random"
    )


def test_untrained_keeps_the_size_and_drops_the_file():
    assert models.untrained("vit_tiny_patch16_224@x.pt?img_size=64") == (
        "vit_tiny_patch16_224?random&img_size=64"
    )
    assert models.untrained("resnet50?random") == "resnet50?random"


def test_a_full_size_page_rehearsed():
    large, small = "vit_small_patch16_224", "vit_small_patch32_224"
    page = "ssl_finetuning"
    values = {
        "contrastive": f"{large}.augreg_in21k",
        "contrastive_tuned": f"{large}.augreg_in21k_ft_in1k",
        "reconstructive": f"{small}.augreg_in21k",
        "reconstructive_tuned": f"{small}.augreg_in21k_ft_in1k",
        "images": "imagenet",
        "num_images": 10_000,
    }
    full = Edition("full", "Full size", {}, {page: values})
    done = run.run(smoke.rehearsal(full, ROOT), ROOT, [page])
    assert not done.failed, str(done.failed[0])
    assert (ROOT / "_build/editions/full-smoke/executed").is_dir()
    assert not (ROOT / "_build/editions/full").exists()


def vitscope(*words):
    return CliRunner().invoke(cli.app, words)


ALL = "lab/vit_cls,lab/resnet,lab/mixer,lab/mae,lab/dino,lab/vit_gap"


@pytest.mark.parametrize(
    ("models", "missing"),
    [
        (ALL, []),
        ("lab/vit_cls", ["intro", "mixers", "ssl_structure"]),
        ("lab/vit_cls,lab/resnet", ["mixers", "ssl_structure"]),
        ("lab/resnet", ["mixers", "layers_under_shift"]),
    ],
)
def test_a_new_edition(folder, models, missing):
    result = vitscope("new-edition", NEW, "--models", models,
                      "--images", "digits")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith(f"\nvitscope run {NEW}.yaml --plan\n")
    mine = editions.load(f"{NEW}.yaml", ROOT)
    jobs = plan(mine)
    text = Path(f"{NEW}.yaml").read_text("utf-8")
    assert yaml.safe_load(text)["pages"] == mine.pages
    for page in missing:
        assert page not in mine.pages
        assert mine.left_out[page].startswith("it needs ")
    for page in KEPT:
        assert page not in mine.pages
        assert mine.left_out[page].startswith(("it is about", "no name"))
    lab = plan(editions.load("lab", ROOT))
    assert jobs.keys() == lab.keys() - mine.left_out.keys()
    own = [spec for job in jobs.values() for spec in job.specs("model spec")]
    assert set(models.split(",")) <= set(own)
    values = jobs["your_model"].parameters
    first, *rest = models.split(",")
    assert (values["model"], values["peers"]) == (first, rest)
    assert values["targets"] == "class"
    there = len(images.load("digits", "test"))
    for page in mine.pages:
        asked = counts(jobs[page])
        if "digits" in jobs[page].specs("image spec"):
            assert asked.get("num_images", 0) <= there
    if not missing:
        values = jobs["representation_structure"].parameters
        assert values["vit"] != values["second_vit"]
        assert jobs["spatial_localization"].parameters["gap_vit"] == (
            "lab/vit_gap"
        )


def test_a_model_may_take_a_role_twice(folder):
    page, models = "representation_structure", "lab/vit_narrow,lab/resnet"
    vitscope("new-edition", NEW, "--models", models, "--images", "digits")
    mine = editions.load(f"{NEW}.yaml", ROOT)
    assert mine.pages[page]["second_vit"] == mine.pages[page]["vit"]
    done = run.run(smoke.rehearsal(mine, ROOT), ROOT, [page])
    assert not done.failed, str(done.failed[0])


def test_an_edition_of_timm_models_in_a_file_of_ones_own(folder):
    names = "vit_small_patch16_224.dino, resnet50.tv_in1k"
    result = vitscope("new-edition", f"a/{NEW}.yaml", "--models", names,
                      "--images", "cifar10")  # fmt: skip
    assert result.exit_code == 0, result.output
    mine = editions.load(f"a/{NEW}.yaml", ROOT)
    assert mine.pages["intro"]["resnet"] == "resnet50.tv_in1k"
    assert plan(mine)["intro"].parameters["images"] == "cifar10"


def test_a_plain_name_is_a_file_of_the_book():
    path = new_edition.place(NEW, ROOT)
    assert path == ROOT / "data" / "editions" / f"{NEW}.yaml"
    assert new_edition.called(path) == NEW


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lab", "--models", "lab/mae"], "an edition 'lab' already"),
        (["own", "--models", "lab/mae"], "an edition 'own' already"),
        (["a/b", "--models", "lab/mae"], "cannot be called 'a/b'"),
        (["..", "--models", "lab/mae"], "cannot be called '..'"),
        (["...yaml", "--models", "lab/mae"], "cannot be called '..'"),
        (["../x.yaml", "--models", "lab/mae"], "outside the working folder"),
        (["/x.yaml", "--models", "lab/mae"], "outside the working folder"),
        (["there.yml", "--models", "lab/mae"], "is there already"),
        (["x", "--models", "lab/maee"], "nearest: 'lab/mae'"),
        (["x", "--models", ", "], "an edition of which models?"),
        (["x", "--models", "lab/mae", "--images", "digit"], "'digits'"),
        (["x", "--models", "lab/mae", "--images", "folder:no"], "no images"),
    ],
)
def test_new_editions_that_are_refused(folder, words, message):
    (folder.parents[1] / "there.yml").touch()
    before = sorted(folder.parents[1].rglob("*"))
    result = vitscope("new-edition", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert sorted(folder.parents[1].rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("...yaml", "title: X", "cannot be called '..'"),
        ("lab.yaml", "title: X", "cannot be called 'lab'"),
        ("a b.yaml", "title: X", "cannot be called 'a b'"),
        ("x.yaml", "title: X\npages: [intro]", "pages must be a mapping"),
        ("x.yaml", "title: X\nparameters: 3", "parameters must be a mapping"),
        ("x.yaml", "title: X\npages: {intro: 3}", "intro must be a mapping"),
    ],
)
def test_edition_files_that_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        editions.load(str(tmp_path / name), minibook.make(tmp_path))


def test_an_edition_may_read_from_anywhere(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"title: Mine\npages: {{intro: {{images: 'folder:{photos}'}}}}"
    )
    mine = editions.load(str(path), ROOT)
    assert plan(mine)["intro"].parameters["images"] == f"folder:{photos}"
    assert mine.folder(ROOT) == ROOT / "_build" / "editions" / "mine"


def test_no_weights_are_made_for_a_plan():
    huge = required_files.bare("vit_huge_patch14_224.orig_in21k")
    assert huge.num_parameters == 630_764_800
    assert not torch.cuda.is_available() or not torch.cuda.memory_allocated()
