"""Losses against float64 transcriptions of the papers' pseudo-code."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from helpers.lab.wardrobe import compose
from helpers.training import reconstruction
from helpers.training.dino import DINOLoss
from helpers.training.mae import (
    MAE,
    MaskedPixelLoss,
    patchify,
    shuffle,
    unpatchify,
)
from helpers.training.moco_v3 import InfoNCE, MoCoV3
from helpers.training.objective import average_of, follow, rising
from helpers.training.recipes import recipe
from helpers.training.steps import start
from helpers.training.supervised import SmoothedCrossEntropy

Array = NDArray[np.float64]


def draw(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def log_softmax(x: Array) -> Array:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@pytest.mark.parametrize(("n", "k"), [(1, 2), (5, 10), (64, 100)])
@pytest.mark.parametrize("smoothing", [0.0, 0.05, 0.5])
def test_smoothed_cross_entropy(n: int, k: int, smoothing: float) -> None:
    logits = 3 * draw(n + k, n, k)
    labels = np.arange(n) % k
    target = np.full((n, k), smoothing / k)
    target[np.arange(n), labels] += 1 - smoothing
    expected = -(target * log_softmax(logits)).sum(1).mean()
    loss = SmoothedCrossEntropy(smoothing)
    got = loss(torch.tensor(logits), torch.tensor(labels))
    assert float(got) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("n", "d"), [(2, 3), (16, 8), (64, 128)])
@pytest.mark.parametrize("tau", [0.05, 0.2, 1.0])
def test_info_nce_is_ctr_of_algorithm_1(n: int, d: int, tau: float) -> None:
    q, k = draw(n, n, d), 5 * draw(d, n, d)
    unit_q = q / np.linalg.norm(q, axis=1, keepdims=True)
    unit_k = k / np.linalg.norm(k, axis=1, keepdims=True)
    log_p = log_softmax(unit_q @ unit_k.T / tau)
    expected = 2 * tau * -np.diag(log_p).mean()
    got = InfoNCE(tau)(torch.tensor(q), torch.tensor(k))
    assert float(got) == pytest.approx(expected, rel=1e-4)


def test_info_nce_gives_keys_no_gradient() -> None:
    q = torch.tensor(draw(1, 6, 4), requires_grad=True)
    k = torch.tensor(draw(2, 6, 4), requires_grad=True)
    InfoNCE(0.2)(q, k).backward()
    assert k.grad is None
    assert q.grad is not None
    assert q.grad.abs().sum() > 0


def test_moco_is_symmetric_and_its_momentum_encoder_follows() -> None:
    torch.manual_seed(0)
    how = replace(recipe("moco_v3"), keep=1.0)
    moco = MoCoV3("moco_v3", how).train()
    one, two = torch.randn(2, 8, 3, 64, 64)
    labels = torch.zeros(8, dtype=torch.long)
    loss = moco([one, two], labels)
    swapped = moco([two, one], labels)
    assert torch.allclose(loss, swapped, rtol=1e-4)
    loss.backward()
    assert all(p.grad is None for p in moco.slow.parameters())
    with torch.no_grad():
        before = moco.slow[1][0].weight.clone()
        moco.projector[0].weight.add_(1.0)
        moco.update(0.0)
    moved = moco.slow[1][0].weight - before
    assert torch.allclose(moved, torch.full_like(moved, 0.01), atol=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_moving_average(momentum: float) -> None:
    module = torch.nn.Linear(3, 2)
    average = average_of(module)
    old = average.weight.double().numpy().copy()
    with torch.no_grad():
        module.weight.mul_(2).add_(1)
    follow(average, module, momentum)
    new = module.weight.detach().double().numpy()
    expected = momentum * old + (1 - momentum) * new
    assert np.allclose(average.weight.numpy(), expected, atol=1e-6)
    assert not average.weight.requires_grad


def test_momentum_rises_to_one() -> None:
    assert rising(0.99, 0.0) == pytest.approx(0.99)
    assert rising(0.99, 0.5) == pytest.approx(0.995)
    assert rising(0.99, 1.0) == pytest.approx(1.0)


def dino(
    students: Array, teachers: Array, centre: Array, tau_s: float, tau_t: float
) -> float:
    """Algorithm 1 and equation 3 of Caron et al. 2021, view by view."""
    total, pairs = 0.0, 0
    for t, teacher in enumerate(teachers):
        p = np.exp(log_softmax((teacher - centre) / tau_t))
        for s, student in enumerate(students):
            if s == t:
                continue
            log_q = log_softmax(student / tau_s)
            total += -(p * log_q).sum(1).mean()
            pairs += 1
    return total / pairs


@pytest.mark.parametrize(("n", "k", "views"), [(1, 3, 2), (7, 16, 4)])
@pytest.mark.parametrize(("tau_s", "tau_t"), [(0.1, 0.04), (1.0, 1.0)])
def test_dino_loss(
    n: int, k: int, views: int, tau_s: float, tau_t: float
) -> None:
    students, teachers = draw(1, views, n, k), draw(2, 2, n, k)
    centre = draw(3, k)
    loss = DINOLoss(k, tau_s, tau_t, 0.9)
    loss.centre.copy_(torch.tensor(centre))
    got = loss(list(torch.tensor(students)), list(torch.tensor(teachers)))
    expected = dino(students, teachers, centre, tau_s, tau_t)
    assert float(got) == pytest.approx(expected, rel=1e-4)
    moved = 0.9 * centre + 0.1 * teachers.mean((0, 1))
    assert np.allclose(loss.centre.numpy(), moved, atol=1e-5)


def test_dino_teacher_gets_no_gradient() -> None:
    students = torch.tensor(draw(1, 2, 3, 4), requires_grad=True)
    teachers = torch.tensor(draw(2, 2, 3, 4), requires_grad=True)
    DINOLoss(4, 0.1, 0.04, 0.9)(list(students), list(teachers)).backward()
    assert teachers.grad is None
    assert students.grad is not None


def test_patches_and_back() -> None:
    x = torch.randn(2, 3, 64, 64)
    patches = patchify(x)
    assert patches.shape == (2, 64, 192)
    third = x[1, :, 8:16, 24:32].permute(1, 2, 0).reshape(-1)
    assert torch.equal(patches[1, 8 + 3], third)
    assert torch.equal(unpatchify(patches, 64), x)


@pytest.mark.parametrize(("n", "t", "p"), [(1, 4, 3), (5, 64, 192)])
def test_masked_pixel_loss(n: int, t: int, p: int) -> None:
    guess, patches = draw(1, n, t, p), 2 + 3 * draw(2, n, t, p)
    hidden = np.random.default_rng(3).random((n, t)) < 0.75
    hidden[0, 0] = True
    mean = patches.mean(-1, keepdims=True)
    spread = np.sqrt(patches.var(-1, ddof=1, keepdims=True) + 1e-6)
    error = ((guess - (patches - mean) / spread) ** 2).mean(-1)
    expected = error[hidden].mean()
    masked = [torch.tensor(a) for a in (guess, patches, hidden)]
    assert float(MaskedPixelLoss()(*masked)) == pytest.approx(
        expected, rel=1e-5
    )


def test_only_hidden_patches_count() -> None:
    hidden = torch.tensor([[True, False]])
    guess = torch.randn(1, 2, 6, requires_grad=True)
    MaskedPixelLoss()(guess, torch.randn(1, 2, 6), hidden).backward()
    assert guess.grad is not None
    assert guess.grad[0, 0].abs().sum() > 0
    assert guess.grad[0, 1].abs().sum() == 0


def test_mae_hides_three_quarters_and_sees_nothing_of_them() -> None:
    torch.manual_seed(0)
    model = MAE("mae", recipe("mae")).eval()
    x = torch.randn(2, 3, 64, 64)
    order = shuffle(2, 64, x.device)
    guess, hidden = model.reconstruct(x, order)
    assert guess.shape == (2, 64, 192)
    assert hidden.sum(1).tolist() == [48, 48]
    for row in range(2):
        shown = order[row, :16].sort().values
        assert torch.equal((~hidden[row]).nonzero()[:, 0], shown)
    patches = patchify(x)
    patches[hidden] = 7.0
    same, _ = model.reconstruct(unpatchify(patches, 64), order)
    assert torch.allclose(guess, same, atol=1e-5)
    patches = patchify(x)
    patches[~hidden] = 7.0
    other, _ = model.reconstruct(unpatchify(patches, 64), order)
    assert not torch.allclose(guess, other, atol=1e-2)


def test_drawings_keep_what_was_shown_and_fill_the_rest() -> None:
    torch.manual_seed(0)
    model = MAE("mae", recipe("mae")).eval()
    pixels = compose("test", range(3)).pixels
    grey, drawn = reconstruction.drawings(model, pixels)
    parts = [patchify(p) for p in (pixels, grey, drawn)]
    kept = (parts[1] == parts[0]).all(-1)
    assert (kept.sum(1) >= 16).all()
    assert torch.equal(parts[2][kept], parts[0][kept])
    assert ((parts[1] == 128).all(-1).sum(1) >= 48).all()
    # A drawn patch has the mean of the true one, up to what clips.
    near = parts[2].float().mean(-1) - parts[0].float().mean(-1)
    assert near.abs().median() < 40


def test_mae_decoder_puts_tokens_where_they_came_from() -> None:
    """The order in which visible patches are listed changes nothing."""
    torch.manual_seed(0)
    model = MAE("mae", recipe("mae")).eval()
    x = torch.randn(1, 3, 64, 64)
    order = shuffle(1, 64, x.device)
    turned = torch.cat([order[:, :16].flip(1), order[:, 16:]], 1)
    one, two = (model.reconstruct(x, o)[0] for o in (order, turned))
    assert torch.allclose(one, two, atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: InfoNCE(0.0),
        lambda: DINOLoss(4, 0.1, 0.0, 0.9),
        lambda: SmoothedCrossEntropy(1.0),
    ],
)
def test_impossible_settings_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    "name", ["vit_cls", "resnet", "moco_v3", "dino", "mae"]
)
def test_pictures_and_tokens_are_those_that_are_shown(name: str) -> None:
    objective = start(name, recipe(name))
    images = torch.rand(2, 3, 64, 64)
    views = objective.views(images, images)
    area = sum(view[:, 0].numel() for view in views) / images[:, 0].numel()
    assert objective.pictures == area
    shown = {"resnet": 1.0, "mae": 0.25}.get(name, 0.9 * 0.5 + 0.1)
    assert objective.tokens == pytest.approx(shown)
