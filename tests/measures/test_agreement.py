"""Agreement of models: averages, subsets, leads, F1, and bad input."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from helpers.measures import agreement
from helpers.measures.f1 import f1
from helpers.measures.kendall import DEFINITIONS

rng = np.random.default_rng(0)
LABELS = rng.integers(8, size=60)
SIGNAL = 2 * np.eye(8)[LABELS] + rng.normal(size=(60, 8))
LOGITS = {
    name: SIGNAL + noise * rng.normal(size=(60, 8))
    for name, noise in {"x": 0.5, "y": 0.6, "z": 4}.items()
}
ANSWERS = {name: scores.argmax(1) for name, scores in LOGITS.items()}
RIGHT = {name: found == LABELS for name, found in ANSWERS.items()}


@pytest.mark.parametrize("definition", ["top", "clipped"])
def test_table_is_the_mean_over_the_images_of_a_subset(definition):
    table = agreement.kendall(LOGITS, LABELS, (3, 5), definition)
    assert len(table) == 3 * 2 * 3
    each = DEFINITIONS[definition](LOGITS["x"], LOGITS["z"], 5)
    rows = table[(table.pair == "x, z") & (table.k == 5)].set_index("subset")
    for subset, members in {
        "all": np.ones(60, bool),
        "both right": RIGHT["x"] & RIGHT["z"],
        "both wrong": ~RIGHT["x"] & ~RIGHT["z"],
    }.items():
        row = rows.loc[subset]
        values = each[members]
        assert row.images == members.sum() > 2
        se = stats.sem(values)
        want = stats.t.interval(0.95, len(values) - 1, values.mean(), se)
        np.testing.assert_allclose(
            [row.tau, row.se, row.low, row.high], [values.mean(), se, *want]
        )


def test_a_subset_without_images_is_empty_not_zero():
    perfect = {"x": np.eye(8)[LABELS], "y": 2 * np.eye(8)[LABELS]}
    jitter = rng.normal(size=(60, 8)) / 100
    table = agreement.kendall(
        {name: x + jitter for name, x in perfect.items()}, LABELS, (4,)
    ).set_index("subset")
    assert table.loc["both wrong", "images"] == 0
    assert np.isnan(table.loc["both wrong", ["tau", "low", "high"]]).all()
    assert table.loc["both right", "images"] == 60


def test_undefined_images_are_not_counted():
    flat = LOGITS["x"].copy()
    flat[:7] = 1.0
    table = agreement.kendall({"x": flat, "y": LOGITS["y"]}, LABELS, (4,))
    assert table[table.subset == "all"].images.item() == 53


def test_leads_are_differences_of_the_table():
    ks = (3, 5)
    each = agreement.taus(LOGITS, ks)
    members = agreement.subsets(LOGITS, LABELS)
    table = agreement.kendall(LOGITS, LABELS, ks)
    means = table.pivot_table("tau", ["k", "subset"], "pair")
    want = means["x, y"] - means[["x, z", "y, z"]].max(axis=1)
    got = agreement.leads(each, members)
    np.testing.assert_allclose(got, want.unstack()[[*agreement.SUBSETS]])
    none = agreement.leads(each, members & False)
    assert np.isnan(none).all()


def test_common_subsets_are_those_of_all_models():
    members = agreement.subsets(LOGITS, LABELS, common=True)
    right = np.stack(list(RIGHT.values()), 1)
    for pair in range(3):
        np.testing.assert_array_equal(members[:, pair, 1], right.all(1))
        np.testing.assert_array_equal(members[:, pair, 2], ~right.any(1))


@pytest.mark.parametrize("other", ["y", "z"])
def test_f1_is_that_of_scikit_learn(other):
    a, b = ANSWERS["x"], ANSWERS[other]

    def sk(a, b, average):
        return f1_score(a, b, average=average)

    want = {
        "micro": sk(a, b, "micro"),
        "macro": sk(a, b, "macro"),
        "weighted, first as truth": sk(a, b, "weighted"),
        "weighted, second as truth": sk(b, a, "weighted"),
        "right or wrong": sk(RIGHT["x"], RIGHT[other], "binary"),
    }
    table = agreement.f1_table(
        {"x": LOGITS["x"], other: LOGITS[other]}, LABELS, repeats=20
    ).set_index("reading")
    for reading, value in want.items():
        assert f1(a, b, LABELS, reading) == pytest.approx(value)
        row = table.loc[reading]
        assert row.f1 == pytest.approx(value)
        assert row.low <= row.high
    assert want["micro"] == pytest.approx(np.mean(a == b))


def test_f1_of_classes_that_no_model_answers_and_of_no_hits():
    assert f1([0, 9], [0, 9], [1, 1], "macro") == 1
    assert np.isnan(f1([0, 9], [0, 9], [1, 1], "right or wrong"))


X, Y = LOGITS["x"], LOGITS["y"]
BROKEN = np.where(np.arange(8) == 3, np.nan, X)


@pytest.mark.parametrize(
    ("logits", "labels", "ks", "message"),
    [
        ({"x": X, "y": Y[:, :7]}, LABELS, (5,), r"same images and classes"),
        ({"x": X, "y": Y[:50]}, LABELS, (5,), r"'y': \(50, 8\)"),
        ({"x": X[0], "y": Y[0]}, LABELS, (5,), r"must be \(n, classes\)"),
        ({"x": X}, LABELS, (5,), "two or more models"),
        ({"x": X, "y": BROKEN}, LABELS, (5,), "logits of y are not all"),
        ({"x": X, "y": Y}, LABELS, (5, 9), "k from 2 to 8, got 9"),
        ({"x": X, "y": Y}, LABELS, (1,), "k from 2 to 8, got 1"),
        ({"x": X, "y": Y}, LABELS, (), "no k"),
        ({"x": X, "y": Y}, LABELS[:59], (5,), "59 labels for logits of 60"),
        ({"x": X, "y": Y}, LABELS + 1, (5,), "label 8 is not among the 8"),
        ({"x": X, "y": Y}, LABELS - 1, (5,), "count from 0, got -1"),
        ({"x": X, "y": Y}, LABELS / 2, (5,), "whole numbers, not float64"),
    ],
)
def test_bad_input_is_refused(logits, labels, ks, message):
    with pytest.raises(ValueError, match=message):
        agreement.kendall(logits, labels, ks)


def test_bad_names_and_lengths_are_refused():
    with pytest.raises(ValueError, match="nearest: 'union'"):
        agreement.kendall(LOGITS, LABELS, (5,), "unoin")
    with pytest.raises(ValueError, match="nearest: 'macro'"):
        f1([0], [0], [0], "makro")
    with pytest.raises(ValueError, match=r"got \[2, 1, 1\]"):
        f1([0, 1], [0], [0])
    with pytest.raises(ValueError, match=r"got \[0, 0, 0\]"):
        f1(*np.empty((3, 0), int))
    two = {"x": X, "y": Y}
    each = agreement.taus(two, (5,))
    with pytest.raises(ValueError, match="three models"):
        agreement.leads(each, agreement.subsets(two, LABELS))
