"""Few-shot probes on tokens: dealing, features of a grid, known answers."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from helpers import images, models, probes
from helpers.features import token_grid
from helpers.features.tokens import POOLED, split_and_pool, tokens_of
from helpers.probes import tokens
from helpers.probes.few_shot import draw, few_shot
from helpers.probes.tokens import EACH

LABELS = torch.arange(60) % 3


def test_no_two_repetitions_share_an_image():
    deal = draw(LABELS, 3, 10, shots=4, repetitions=3)
    assert deal.banks.shape == (3, 12)
    for bank in deal.banks:
        assert LABELS[bank].bincount().tolist() == [4, 4, 4]
    everything = torch.cat([deal.banks.flatten(), deal.held])
    assert sorted(everything.tolist()) == list(range(60))
    assert sorted(torch.cat(deal.queries).tolist()) == list(range(10))


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match=r"more than 20 .* has 20"):
        draw(LABELS, 3, 10, shots=5, repetitions=4)
    with pytest.raises(ValueError, match="one has 0"):
        draw(LABELS, 4, 10, shots=1, repetitions=2)
    with pytest.raises(ValueError, match="2 test images, got 3"):
        draw(LABELS, 3, 2, shots=2, repetitions=3)


def test_a_probe_is_scikit_learn_s_ridge_at_the_best_held_penalty():
    generator = torch.Generator().manual_seed(3)
    centres = torch.randn(3, 8, generator=generator)
    x, asked = (
        centres[torch.arange(n) % 3]
        + 1.5 * torch.randn(n, 8, generator=generator)
        for n in (60, 45)
    )
    answers = torch.arange(45) % 3
    deal = draw(LABELS, 3, 45, shots=4, repetitions=3)
    found = few_shot((x, asked), (LABELS, answers), deal)
    for bank, part, mine in zip(deal.banks, deal.queries, found, strict=True):
        mean, scale = x[bank].mean(0), x[bank].std(0, correction=0) + 1e-5
        held, queries = (
            ((rows - mean) / scale).numpy()
            for rows in (x[deal.held], asked[part])
        )
        targets = 2 * np.eye(3)[LABELS[bank]] - 1
        best = (-1.0, 0.0, 0.0)
        for penalty in probes.PENALTIES:
            fit = Ridge(alpha=penalty)
            fit.fit(((x[bank] - mean) / scale).numpy(), targets)
            right, test = (
                float((fit.predict(rows).argmax(1) == y.numpy()).mean())
                for rows, y in (
                    (held, LABELS[deal.held]),
                    (queries, answers[part]),
                )
            )
            best = max(best, (right, penalty, test))
        assert mine["penalty"] == best[1]
        assert mine["accuracy"] == pytest.approx(best[2])


def test_features_that_do_not_vary_have_no_accuracy():
    deal = draw(LABELS, 3, 10, shots=4, repetitions=2)
    x = torch.ones(60, 5), torch.ones(10, 5)
    found = few_shot(x, (LABELS, LABELS[:10]), deal)
    assert all(math.isnan(f["accuracy"]) for f in found)


def test_maps_are_split_as_far_as_the_width_allows_then_averaged():
    maps = torch.randn(2, 3, 9, 8)
    kept = split_and_pool(maps, (4, 4), width=12)
    assert kept.shape == (2, 12, 4, 4)
    corner = kept[0, :, 1, 2].reshape(3, 2, 2)
    torch.testing.assert_close(corner, maps[0, :, 2:4, 4:6])
    pooled = split_and_pool(maps[..., :8, :], (2, 2), width=11)
    assert pooled.shape == (2, 3, 2, 2)
    torch.testing.assert_close(
        pooled[1, :, 0, 1], maps[1, :, :4, 4:].mean((1, 2))
    )


def test_maps_of_a_cnn_may_be_averaged_without_a_split():
    cnn = models.load("lab/resnet?random")
    scenes = images.load("wardrobe", limit=5)
    at = token_grid.choose((4, 4), 16)
    layers = "stages.0.2.out,stages.3.2.out"
    split, whole = (
        tokens_of(cnn, scenes, layers, at, 5, keep) for keep in (True, False)
    )
    (_, (x,)) = next(scenes.batches(cnn, batch_size=5))
    with torch.no_grad():
        lower = cnn.module.forward_intermediates(
            x, indices=[1], intermediates_only=True
        )[0]
    n, c, h, w = lower.shape
    blocks = lower.reshape(n, c, 4, h // 4, 4, w // 4).mean((3, 5))
    torch.testing.assert_close(
        whole["stages.0.2.out"][:, len(POOLED) :],
        blocks.flatten(2).transpose(1, 2),
        atol=1e-5,
        rtol=1e-4,
    )
    assert split["stages.0.2.out"].shape[2] > c
    torch.testing.assert_close(
        split["stages.3.2.out"], whole["stages.3.2.out"]
    )


def test_tokens_of_a_vit_are_those_of_its_layer():
    vit = models.load("lab/vit_cls?random")
    scenes = images.load("wardrobe", limit=6)
    at = token_grid.choose((8, 8), 16)
    found = tokens_of(vit, scenes, "blocks.3.out", at, batch_size=4)
    (_, (x,)) = next(scenes.batches(vit, batch_size=6))
    with torch.no_grad():
        tokens = vit.module.forward_intermediates(
            x,
            indices=[3],
            output_fmt="NLC",
            return_prefix_tokens=True,
            intermediates_only=True,
        )[0]
    both = torch.cat([tokens[1], tokens[0]], 1)
    got = found["blocks.3.out"]
    assert got.shape == (6, 3 + 16, 96)
    expected = torch.stack([both[:, 0], both.mean(1), tokens[0].mean(1)], 1)
    torch.testing.assert_close(got[:, :3], expected, atol=1e-5, rtol=1e-4)
    places = [r * 8 + c for r in range(0, 8, 2) for c in range(0, 8, 2)]
    torch.testing.assert_close(
        got[:, 3:], tokens[0][:, places], atol=1e-5, rtol=1e-4
    )


def test_a_row_a_layer_token_and_repetition():
    cnn = models.load("lab/resnet?random")
    train, test = (
        images.load("wardrobe", split, limit=n)
        for split, n in (("train", 80), ("test", 20))
    )
    table = tokens.probe(
        cnn, train, test, "stages.*.0.out", "garment", 1, 2, positions=4
    )
    assert len(table) == 4 * (len(POOLED) + 4) * 2
    assert table.attrs["grid"] == (2, 2)
    accuracy = tokens.accuracies(table, EACH)
    assert accuracy.shape == (4, 2)
    last = table[(table.tokens == EACH) & (table.repetition == 1)].tail(4)
    assert accuracy[3, 1] == pytest.approx(last.accuracy.mean())
    summary = tokens.summary(table).set_index(["layer", "tokens"])
    row = summary.loc[("stages.3.0.out", EACH)]
    assert row.accuracy == pytest.approx(accuracy[3].mean())
    assert row.se == pytest.approx(abs(np.subtract(*accuracy[3])) / 2)
    assert len(tokens.last_positions(table)) == 4 * 2
    single = table[table.tokens == EACH]
    assert single.groupby(["row", "column"]).size().tolist() == [8] * 4
    assert table[table.tokens != EACH].row.isna().all()
    assert table.accuracy.between(0, 1).all()
    with pytest.raises(ValueError, match="garment"):
        tokens.probe(cnn, train, test, target="garmet")
    with pytest.raises(ValueError, match="80 images are both"):
        tokens.probe(cnn, train, train)
    other = images.load("wardrobe:unseen_fabrics", "test", limit=20)
    with pytest.raises(ValueError, match="same classes of 'fabric'"):
        tokens.probe(cnn, train, other, target="fabric")
