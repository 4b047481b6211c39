"""Which measures an architecture has: the answers, and what they stand for."""

from typing import Any

import pandas as pd
import pytest
import timm
import torch
from torch import nn

from helpers import images, models
from helpers.editions import parameters
from helpers.editions.notebooks import contents, read
from helpers.probes.samples import at_most
from helpers.report import measurable
from helpers.report.measurable import NO, PARTLY, YES
from helpers.runtime.paths import checkout

EVERY = measurable.listed()
MEASURES = [
    *("layers", "CKA", "attention", "residual sums"),
    *("receptive field", "localisation", "probes"),
]


def answers(model: models.VisionModel) -> dict[str, str]:
    scenes = images.load("wardrobe", limit=4)
    bank = at_most("wardrobe", "train", 60)
    return measurable.examine(model, scenes, scenes, bank, scenes, "fabric")


def test_there_are_34_and_a_typo_is_refused() -> None:
    assert len(EVERY) == len({each["name"] for each in EVERY.values()}) == 34
    assert list(measurable.listed(["VGG", "ViT"])) == ["VGG", "ViT"]
    with pytest.raises(ValueError, match="nearest: 'DINOv3'"):
        measurable.listed(["ViT", "DINO3"])


@pytest.mark.parametrize("name", EVERY)
def test_a_small_one_has_every_layer_of_the_architecture(name: str) -> None:
    settings = EVERY[name]
    with torch.device("meta"):
        small = measurable.small(**settings)
        whole = models.wrap(timm.create_model(settings["name"]))
    assert small.family.name == whole.family.name
    assert [*small.taps] == [k for k in whole.taps if k in small.taps]
    assert {*whole.taps} - {*small.taps} <= {"norm"}  # where there is no head


@pytest.mark.parametrize("name", ["ViT", "DINOv3", "Swin", "Hiera"])
def test_a_transformer_that_is_known_has_every_measure(name: str) -> None:
    found = answers(measurable.small(**EVERY[name]))
    assert found == dict.fromkeys(MEASURES, YES)


def test_a_family_without_attention_has_every_other_measure() -> None:
    cnn = answers(measurable.small(**EVERY["ResNet"]))
    without = cnn.pop("attention")
    assert without == "has no attention: it is a resnet"
    assert set(cnn.values()) == {YES}


def test_a_family_that_is_not_known_has_reasons() -> None:
    found = answers(measurable.small(**EVERY["LeViT"]))
    assert list(found) == MEASURES
    assert "only the outputs of its blocks" in found["layers"]
    assert "models.levit.Attention" in found["attention"]
    assert "of no family whose skip connections" in found["residual sums"]
    assert {found["CKA"], found["receptive field"], found["probes"]} == {YES}


class Dead(nn.Module):
    """Three layers, the last of which gives zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 8, 8)
        self.blocks = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(2))
        nn.init.zeros_(self.blocks[1].weight)
        nn.init.zeros_(self.blocks[1].bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x


@pytest.mark.filterwarnings("ignore")
def test_what_is_not_defined_is_a_part() -> None:
    how: dict[str, Any] = {"input_size": 64, "mean": [0] * 3, "std": [1] * 3}
    layers = ["stem", "blocks.0", "blocks.1"]
    found = answers(models.wrap(Dead(), preprocessing=how, layers=layers))
    assert found["CKA"].startswith(f"{PARTLY}: undefined")
    assert measurable.kind(found["CKA"]) == PARTLY
    assert measurable.kind(found["attention"]) == NO


def test_reasons_are_numbered_and_answers_counted() -> None:
    table = pd.DataFrame(
        {"CKA": [YES, YES, "in part: odd"], "probes": ["none", YES, "none"]},
        ["a", "b", "c"],
    )
    short, told = measurable.reasons(table)
    assert short.CKA.tolist() == [YES, YES, "in part (1)"]
    assert short.probes.tolist() == ["no (2)", YES, "no (2)"]
    assert told.loc[2].tolist() == ["none", "probes", "a, c"]
    counted = measurable.counts(table).set_index(["measure", "answer"])
    assert counted.architectures["probes", NO] == 2
    assert counted.architectures["CKA", YES] == 2
    assert counted.architectures.sum() == table.size
    said = measurable.sentence(table)
    assert "All 2 measures in full: 1 of 3 architectures" in said
    assert "each of them has: none. Cells with a yes: 3 of 6." in said
    assert measurable.reasons(table.loc[["b"]])[1].empty


def test_a_misspelt_name_is_refused_before_the_page_runs() -> None:
    page = "architectures"
    declared = parameters.of(read(contents(checkout())[page]), page)
    values = {name: own.default for name, own in declared.items()}
    values["beside"] = ["skresnet81?random"]
    with pytest.raises(ValueError, match="nearest: 'skresnet18'"):
        parameters.check(page, declared, values, parameters.checks())
