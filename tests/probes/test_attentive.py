"""Attentive probes against scikit-learn, scipy and planted tokens."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from helpers import features, images, models, probes

CLASSES = 3


def drawn(
    images_of_each: int = 30, tokens: int = 5, width: int = 6, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens of noise, with the class in a marked token at a random place."""
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), images_of_each)
    x = draw.normal(size=(len(labels), tokens, width))
    for one, label in zip(x, labels, strict=True):
        marked = one[draw.integers(tokens)]
        marked[0] += 4.0
        marked[1 + label] += 4.0
    return torch.tensor(x), torch.tensor(labels)


def standardised(bank, *others):
    mean = bank.mean((0, 1))
    scale = bank.std((0, 1), correction=0) + 1e-5
    return [((x - mean) / scale).numpy() for x in (bank, *others)]


def objective(flat, x, labels, penalty):
    """The loss of the docstring, in numpy, with its gradient by hand."""
    n, _, width = x.shape
    w, matrix, b = np.split(flat, [width, width + width * CLASSES])
    matrix = matrix.reshape(width, CLASSES)
    a = softmax(x @ w, 1)
    fetched = np.einsum("nt,ntd->nd", a, x)
    logits = fetched @ matrix + b
    log_p = log_softmax(logits, 1)
    size = (w**2).sum() + (matrix**2).sum()
    loss = -log_p[np.arange(n), labels].sum() + penalty / 2 * size
    error = np.exp(log_p) - np.eye(CLASSES)[labels]
    back = error @ matrix.T
    score = np.einsum("nd,ntd->nt", back, x - fetched[:, None]) * a
    gradient = [
        np.einsum("nt,ntd->d", score, x) + penalty * w,
        (fetched.T @ error + penalty * matrix).ravel(),
        error.sum(0),
    ]
    return loss, np.concatenate(gradient)


@pytest.mark.parametrize("penalty", [1.0, 30.0])
def test_reaches_the_minimum_that_scipy_reaches(penalty):
    bank, labels = drawn()
    queries, _ = drawn(seed=1)
    found = probes.attentive(bank, labels, queries, [penalty], held_out=0)
    x, asked = standardised(bank, queries)
    width = x.shape[-1]
    linear = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5000)
    linear.fit(x.mean(1), labels)
    start = [np.zeros(width), linear.coef_.T.ravel(), linear.intercept_]
    best = minimize(
        objective,
        np.concatenate(start),
        (x, labels.numpy(), penalty),
        jac=True,
        method="BFGS",
        options={"gtol": 1e-5, "maxiter": 5000},
    )
    w, matrix, b = np.split(best.x, [width, width + width * CLASSES])
    attention = softmax(asked @ w, 1)
    fetched = np.einsum("nt,ntd->nd", attention, asked)
    logits = fetched @ matrix.reshape(width, CLASSES) + b
    assert found.converged
    assert found.setting == penalty
    np.testing.assert_allclose(found.attention, attention, atol=2e-3)
    centred = [
        z - z.mean(1, keepdims=True) for z in (found.scores.numpy(), logits)
    ]
    np.testing.assert_allclose(*centred, atol=2e-2)


def test_with_one_token_it_is_logistic_regression():
    bank, labels = drawn(tokens=1)
    queries, _ = drawn(tokens=1, seed=1)
    found = probes.attentive(bank, labels, queries, [2.0], held_out=0)
    x, asked = standardised(bank, queries)
    linear = LogisticRegression(C=0.5, tol=1e-8, max_iter=5000)
    linear.fit(x[:, 0], labels)
    np.testing.assert_allclose(
        found.scores.softmax(1), linear.predict_proba(asked[:, 0]), atol=1e-3
    )
    np.testing.assert_array_equal(found.attention, np.ones((len(asked), 1)))


def test_finds_the_marked_token_that_a_mean_dilutes():
    bank, labels = drawn(60, tokens=40)
    queries, truth = drawn(40, tokens=40, seed=1)
    found = probes.attentive(bank, labels, queries)
    marked = queries[..., 0].argmax(1)
    assert (found.attention.argmax(1) == marked).double().mean() > 0.9
    own = (found.scores.argmax(1) == truth).double().mean()
    mean = probes.readout(bank.mean(1), labels, queries.mean(1)).scores
    diluted = (mean.argmax(1) == truth).double().mean()
    assert own > diluted + 0.1
    best = max(found.tried.values())
    assert found.tried[found.setting] == best
    assert found.setting == max(
        penalty for penalty, share in found.tried.items() if share == best
    )


def test_the_queries_choose_nothing():
    bank, labels = drawn()
    one = probes.attentive(bank, labels, drawn(seed=1)[0])
    other = probes.attentive(bank, labels, -drawn(seed=2)[0])
    assert one.tried == other.tried
    assert one.setting == other.setting


def test_says_that_it_has_not_converged():
    bank, labels = drawn()
    with pytest.warns(probes.NotConverged, match="raise max_steps"):
        found = probes.attentive(
            bank, labels, bank, [0.01], held_out=0, max_steps=3
        )
    assert not found.converged


def test_reads_the_tokens_of_a_model():
    model = models.load("lab/vit_cls")
    bank, test = (
        images.load("wardrobe", split, limit=n)
        for split, n in (("train", 60), ("test", 20))
    )
    seen, asked = (
        features.pooled(model, part, "blocks.11.out", ["each"])
        for part in (bank, test)
    )
    ((key, tokens),) = seen.items()
    labels = torch.as_tensor(bank.targets["fabric"])
    found = probes.attentive(tokens, labels, asked[key], [100.0], held_out=0)
    assert found.scores.shape == (20, int(labels.max()) + 1)
    assert found.attention.shape == (20, 65)
    torch.testing.assert_close(found.attention.sum(1), torch.ones(20).double())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y: (x[:, 0], y, x), r"tokens='each'"),
        (lambda x, y: (x, y, x[:, :2]), r"the bank \(5, 6\)"),
        (lambda x, y: (x * torch.nan, y, x), "NaN or infinite"),
        (lambda x, y: (x * 0, y, x), "the same for all images"),
        (lambda x, y: (x, y[:-1], x), "need 90 labels"),
        (lambda x, y: (x, y * 0, x), "one class"),
    ],
)
def test_says_what_is_wrong(change, words):
    with pytest.raises(ValueError, match=words):
        probes.attentive(*change(*drawn()))


def test_penalties_are_positive():
    x, y = drawn()
    with pytest.raises(ValueError, match="penalties must be positive"):
        probes.attentive(x, y, x, [0.0])
