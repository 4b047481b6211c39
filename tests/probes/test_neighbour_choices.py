"""Which choice moves nearest neighbours: against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional as F

from helpers import images, models, probes
from helpers.probes import neighbour_choices
from helpers.probes.targets import labels

SPEC = "lab/vit_cls?random"


@pytest.fixture(scope="module")
def run():
    bank = images.load("wardrobe", "train", limit=120)
    test = images.load("wardrobe", limit=40)
    model = models.load(SPEC)
    found = probes.layerwise(
        *(model, bank, test, "out", ["cls", "patches"], ["knn"], ["fabric"]),
        settings={"knn": (5,)},
    )
    table = neighbour_choices.measure(
        model, found.last, bank, test, "fabric", k=5
    )
    return model, bank, test, found, table


def accuracy(run, how, k=5, temperature=0.07, norm=False, size=120):
    """By scikit-learn: which test images are right."""
    model, bank, test, found, _ = run
    known, truth = labels(bank, test, "fabric")
    x, queries = found.last[how]
    if norm:
        own = model.module.norm
        x, queries = (
            F.layer_norm(
                v, own.normalized_shape, own.weight, own.bias, own.eps
            )
            for v in (x, queries)
        )
    generator = torch.Generator().manual_seed(0)
    kept = torch.randperm(120, generator=generator)[:size].sort().values

    def weights(distance):
        return np.exp((1 - distance) / temperature) if temperature else None

    voters = KNeighborsClassifier(
        k,
        metric="cosine",
        algorithm="brute",
        weights=weights if temperature else "uniform",
    )
    voters.fit(x[kept].detach().numpy(), known[kept].numpy())
    said = voters.predict(queries.detach().numpy())
    return said == truth.numpy()


def test_features_kept_are_those_of_the_last_layer(run) -> None:
    _, bank, test, found, table = run
    usual = table.iloc[0]
    last = found.table[found.table.tokens == "cls"].iloc[-1]
    assert usual.accuracy == last.accuracy
    assert usual[["difference", "low", "high"]].tolist() == [0, 0, 0]
    assert [*found.last] == ["cls", "patches"]
    assert [len(x) for x in found.last["patches"]] == [len(bank), len(test)]


@pytest.mark.parametrize(
    ("choice", "value", "how"),
    [
        ("token", "patches", {"how": "patches"}),
        ("norm", "final", {"norm": True}),
        ("k", "1", {"k": 1}),
        ("k", "100", {"k": 100}),
        ("temperature", "0.5", {"temperature": 0.5}),
        ("temperature", "equal votes", {"temperature": None}),
        ("bank", "30", {"size": 30}),
    ],
)
def test_each_change_is_what_scikit_learn_finds(
    run, choice, value, how
) -> None:
    table = run[-1]
    row = table[(table.choice == choice) & (table.value == value)].iloc[0]
    right = accuracy(run, **{"how": "cls", **how})
    assert row.accuracy == pytest.approx(right.mean(), abs=1 / 40)
    moved = right.astype(float) - accuracy(run, "cls")
    if row.accuracy == right.mean():  # no tie was broken another way
        assert row.difference == pytest.approx(moved.mean())
        half = stats.t.ppf(0.975, 39) * stats.sem(moved)
        assert row.high - row.difference == pytest.approx(half)
        assert row.difference - row.low == pytest.approx(half)


def test_every_choice_has_its_changes_and_one_moves_most(run) -> None:
    table = run[-1]
    assert [*dict.fromkeys(table.choice)] == [
        *("", "token", "norm", "k", "temperature", "bank"),
    ]
    assert table[table.choice == "k"].value.tolist() == ["1", "20", "100"]
    first = neighbour_choices.largest(table)
    assert sorted(first.choice) == sorted({*table.choice} - {""})
    sizes = first.difference.abs().tolist()
    assert sizes == sorted(sizes, reverse=True)
    for row in first.itertuples():
        others = table[table.choice == row.choice].difference.abs()
        assert abs(row.difference) == others.max()
    both = pd.concat([table.assign(model="b"), table.assign(model="a")])
    two = neighbour_choices.largest(both, "model")
    assert two.model.tolist() == ["a"] * 5 + ["b"] * 5


def test_a_model_without_a_final_norm_has_no_such_choice(run) -> None:
    _, bank, test, found, _ = run
    cnn = models.load("lab/resnet?random")
    table = neighbour_choices.measure(
        cnn, found.last, bank, test, "fabric", k=50
    )
    assert "norm" not in {*table.choice}
    assert table[table.choice == "bank"].value.tolist() == ["60"]


def test_nothing_to_choose_from_is_an_error(run) -> None:
    model, bank, test, _, _ = run
    with pytest.raises(ValueError, match="unknown choice of tokens"):
        neighbour_choices.measure(model, {}, bank, test, "fabric")
