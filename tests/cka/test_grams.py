"""Gram matrices kept: the maps of them are those of the engine."""

import numpy as np
import pytest
import torch

from helpers import cka, features, images, models
from helpers.cka import feature_changes, grams
from helpers.cka.hsic import hsic1
from helpers.cka.minibatch import MinibatchCKA

rng = np.random.default_rng(3)
X = rng.normal(size=(40, 6))
Y = X @ rng.normal(size=(6, 5)) + rng.normal(size=(40, 5))


@pytest.fixture(scope="module")
def scenes():
    return images.load("wardrobe", limit=44)


@pytest.fixture(scope="module")
def nets():
    specs = {"vit": "lab/vit_cls?random", "resnet": "lab/resnet?random"}
    return {name: models.load(spec) for name, spec in specs.items()}


def test_a_map_is_that_of_measure(nets, scenes):
    own = grams.collect(nets, scenes, "out", "mean", 8)
    got = grams.similarity(own["vit"], own["resnet"])
    want = cka.measure(*nets.values(), scenes, "out", "mean", batch_size=8)
    np.testing.assert_array_equal(got.cka, want.cka)
    np.testing.assert_array_equal(got.leave_one_out, want.leave_one_out)
    assert (got.layers_x, got.layers_y) == (want.layers_x, want.layers_y)
    assert torch.cat(list(own["vit"].images)).tolist() == list(range(40))


def test_unchanged_features_are_those_with_all_tokens(nets, scenes):
    vit = {"vit": nets["vit"]}
    changes = {"none": None, "same": lambda x, _: x * 2}
    changed = grams.collect_changed(vit, scenes, changes, "out", 8)
    plain = grams.collect(vit, scenes, "out", "all", 8)["vit"]
    want = grams.similarity(plain, plain).cka
    for found in changed.values():
        got = grams.similarity(found["vit"], found["vit"]).cka
        np.testing.assert_allclose(got, want, rtol=1e-5)


def test_a_change_is_told_how_many_tokens_stand_before_the_patches(
    nets, scenes
):
    told = []
    grams.collect_changed(
        {"vit": nets["vit"]},
        scenes.part(slice(0, 8)),
        {"watch": lambda x, prefix: told.append((x.shape[1], prefix)) or x},
        "blocks.0.out",
        8,
    )
    assert told == [(65, 1)]


def test_without_images_is_the_mean_of_what_remains():
    x, y = (grams.of_features([f], 20).without([3, 4, 39]) for f in (X, Y))
    parts = [np.delete(np.arange(20), [3, 4]), np.arange(20, 39)]

    def mean(f, g):
        each = [hsic1(f[p] @ f[p].T, g[p] @ g[p].T) for p in parts]
        return np.mean(each)

    want = mean(X, Y) / np.sqrt(mean(X, X) * mean(Y, Y))
    got = grams.similarity(x, y)
    assert got.cka[0, 0] == pytest.approx(want)
    assert got.leave_one_out.shape == (2, 1, 1)


def test_cut_minibatches_are_those_of_the_smaller_size():
    large, small = grams.of_features([X, Y], 20), grams.of_features([X, Y], 5)
    cut = large.cut(5)
    want = grams.similarity(small, small)
    got = grams.similarity(cut, cut)
    np.testing.assert_allclose(got.leave_one_out, want.leave_one_out)
    last = cut.each()[-1]
    assert last.images[0].tolist() == list(range(35, 40))
    own = MinibatchCKA().update([X[35:], Y[35:]]).compute().cka
    np.testing.assert_allclose(grams.similarity(last, last).cka, own)
    with pytest.raises(ValueError, match=r"6 images do not divide .* \[20\]"):
        large.cut(6)


def test_bad_requests_are_refused():
    own = grams.of_features([X], 8)
    with pytest.raises(ValueError, match="at least 4 images"):
        own.without(range(5))
    with pytest.raises(ValueError, match="40 in 5 and 40 in 4 minibatches"):
        grams.similarity(own, grams.of_features([Y], 10))
    with pytest.raises(ValueError, match="40 images do not fill"):
        grams.of_features([X], 41)


def tokens(n=12, count=10, width=7):
    x = torch.randn(n, count, width, generator=torch.manual_seed(0))
    return x * torch.linspace(1, 3, width) + torch.linspace(-1, 1, width)


def test_the_loudest_channels_become_zero_and_the_rest_stays():
    x = tokens()
    x[..., 2] += 100
    x[..., 0] -= 50
    changed = feature_changes.without_loud_channels(x)
    sizes = np.abs(x.numpy()).mean((0, 1))
    loud = np.argsort(-sizes)[:3]
    assert {0, 2} < set(loud.tolist())
    want = x.numpy().copy()
    want[..., loud] = 0
    np.testing.assert_array_equal(changed, want)


def test_standardised_channels_have_mean_0_and_variance_1():
    x = tokens()
    x[..., 4] = 7
    flat = feature_changes.standardised(x).flatten(0, 1).numpy()
    np.testing.assert_allclose(flat.mean(0), 0, atol=1e-6)
    want = np.ones(7)
    want[4] = 0
    np.testing.assert_allclose(flat.var(0), want, atol=1e-5)


def test_what_is_left_is_that_of_a_singular_value_decomposition():
    x = tokens()
    got = feature_changes.without_first_component(x).flatten(0, 1).numpy()
    flat = x.flatten(0, 1).double().numpy()
    flat -= flat.mean(0)
    u, s, v = np.linalg.svd(flat, full_matrices=False)
    want = (u[:, 1:] * s[1:]) @ v[1:]
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_loud_patches_become_the_usual_patch_of_their_place():
    x = tokens(n=10, count=11)
    x[3, 5] *= 1000
    x[6, 5] *= 900
    x[2, 0] *= 1e6  # the class token stays
    changed = feature_changes.without_loud_patches(x, prefix=1)
    others = [i for i in range(10) if i not in (3, 6)]
    for i in (3, 6):
        np.testing.assert_allclose(
            changed[i, 5], x[others, 5].mean(0), rtol=1e-5
        )
    kept = torch.ones(10, 11, dtype=torch.bool)
    kept[[3, 6], 5] = False
    assert torch.equal(changed[kept], x[kept])


def test_magnitudes_are_those_of_sorted_activations_and_norms():
    x = tokens(n=3)
    got = feature_changes.magnitudes(x).numpy()
    for image, row in zip(x.double().numpy(), got, strict=True):
        kinds = (np.abs(image).ravel(), np.linalg.norm(image, axis=1))
        for sizes, found in zip(kinds, row, strict=True):
            ranked = np.sort(sizes)
            np.testing.assert_allclose(found[:3], ranked[::-1][:3], rtol=1e-6)
            middle = ranked[(len(ranked) - 1) // 2]  # the lower of two
            assert found[3] == pytest.approx(middle)


def test_moved_images_go_one_way_by_the_distance_asked_for():
    step = feature_changes.moved(X, 0.1, 3, seed=1) - X
    gone = np.abs(step).max(1) > 0
    assert gone.sum() == 4
    assert np.linalg.matrix_rank(step) == 1
    spread = np.sqrt(((X - X.mean(0)) ** 2).sum(1).mean())
    np.testing.assert_allclose(np.linalg.norm(step[gone], axis=1), 3 * spread)
    more = feature_changes.moved(X, 0.5, 3, seed=1) - X
    assert (np.abs(more[gone]).max(1) > 0).all()
    other = feature_changes.moved(2 * X[:20], 0.5, 3, seed=1) - 2 * X[:20]
    assert np.linalg.matrix_rank(np.vstack([step, other]), tol=1e-9) == 1
    with pytest.raises(ValueError, match="a share is 0 to 1, got 2"):
        feature_changes.moved(X, 2, 1)


def test_loudness_is_a_mean_of_multiples_of_the_median(nets, scenes):
    few = scenes.part(slice(0, 5))
    table = feature_changes.loudness(nets["vit"], few, "blocks.1.out")
    x = features.extract(nets["vit"], few, "blocks.1.out", "each")
    sizes = np.sort(np.abs(x["blocks.1.out"]).reshape(5, -1), axis=1)
    middle = sizes[:, (sizes.shape[1] - 1) // 2]
    got = table[table.of == "single activations"].times_the_median
    want = [(sizes[:, -k] / middle).mean() for k in (1, 2, 3)]
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert table.magnitude.tolist() == ["largest", "second", "third"] * 2
