"""Norms, sinks and replaced tokens against loops over the definitions."""

import numpy as np
import pytest
import torch

from helpers import cka, images, models
from helpers.measures import norms, sinks, token_choice, token_replacement
from tests.measures.test_attention import by_timm, prepared, vit

COUNT = 12
LONG = (3, 9)  # patches that are made outliers


@pytest.fixture(scope="module")
def scenes() -> images.Images:
    return images.load("wardrobe", limit=COUNT)


def spiky(kind: str = "registers") -> models.VisionModel:
    """An untrained ViT of which two patches are far longer than the rest."""
    model = vit(kind)
    prefix = model.prefix_tokens
    own = model.module.pos_embed.shape[1] - np.prod(model.grid)
    with torch.no_grad():
        for patch in LONG:
            model.module.pos_embed[0, own + patch] += 9.0
    assert own <= prefix
    return model


def by_hand(model: models.VisionModel, x: torch.Tensor) -> list[np.ndarray]:
    """What enters each block, and what leaves the last: (n, tokens, width)."""
    module = model.module
    with torch.no_grad():
        stream = module._pos_embed(module.patch_embed(x))
        stream = module.norm_pre(stream)
        found = [stream]
        for block in module.blocks:
            found.append(block(found[-1]))
    return [each.double().numpy() for each in found]


def lengths(x: np.ndarray) -> np.ndarray:
    return np.sqrt((x**2).sum(-1))


def test_norms_and_magnitudes_are_those_of_the_tokens(scenes):
    model = spiky()
    found = norms.measure(model, scenes, "embed,out", batch_size=5)
    streams = by_hand(model, prepared(model, scenes))
    assert list(found.each) == ["embed", "blocks.0.out", "blocks.1.out"]
    for layer, stream in zip(found.each, streams, strict=True):
        np.testing.assert_allclose(
            found.each[layer], lengths(stream), rtol=1e-4
        )
        for one, row in zip(stream, found.magnitudes[layer], strict=True):
            *_, third, second, first = sorted(abs(one).ravel())
            np.testing.assert_allclose(
                row[:3], [first, second, third], rtol=1e-4
            )
            np.testing.assert_allclose(row[3], np.median(abs(one)), rtol=1e-2)
    table = found.magnitude_table()
    assert list(table["rank"].unique()) == list(norms.MAGNITUDES)
    first = table[table["rank"] == "largest"].magnitude
    assert first.iloc[0] == pytest.approx(
        np.mean([abs(one).max() for one in streams[0]]), rel=1e-4
    )


def test_outliers_are_the_patches_above_so_many_medians(scenes):
    model = spiky()
    found = norms.measure(model, scenes, "embed,out")
    streams = by_hand(model, prepared(model, scenes))
    for times in (1.5, 3.0):
        shares = found.outliers(times)
        for i, stream in enumerate(streams):
            for share, one in zip(shares[:, i], stream, strict=True):
                patches = lengths(one)[model.prefix_tokens :]
                above = [p for p in patches if p > times * np.median(patches)]
                assert share == pytest.approx(len(above) / len(patches))
    at_first = found.outliers()[:, 0] * np.prod(model.grid)
    np.testing.assert_allclose(at_first, len(LONG))
    table = found.outlier_table([3.0])
    assert table.share.iloc[0] == pytest.approx(found.outliers()[:, 0].mean())


def test_more_medians_mark_fewer_outliers(scenes):
    found = norms.measure(spiky(), scenes)
    shares = [found.outliers(times).mean() for times in norms.SWEPT]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]


def test_a_histogram_holds_every_token_once(scenes):
    found = norms.measure(spiky(), scenes, "embed,out")
    table = found.histogram(bins=7)
    totals = table.groupby(["layer", "kind"]).share.sum()
    np.testing.assert_allclose(totals, 1)
    assert set(table.kind) == {norms.CLASS, norms.REGISTERS, norms.PATCHES}
    own = np.concatenate(
        [x / np.median(x[found.prefix :]) for x in found.each["embed"]]
    ).reshape(COUNT, -1)
    width = 8 / 7
    patches = table[(table.kind == norms.PATCHES) & (table.layer == "embed")]
    for share, norm in zip(patches.share, patches.norm, strict=True):
        ends = 2 ** (np.log2(norm) + np.array([-0.5, 0.5]) * width)
        inside = own[:, found.prefix :].clip(1 / 16, 16)
        assert share == pytest.approx(
            ((ends[0] <= inside) & (inside < ends[1] * (1 + 1e-9))).mean()
        )
    short = table[(table.kind == norms.CLASS) & (table.layer == "embed")]
    assert short.share.iloc[0] == 1


def test_the_positions_of_a_map_are_tokens(scenes):
    model = models.load("lab/resnet?random")
    found = norms.measure(model, scenes, "stages.3.2.out")
    (each,) = found.each.values()
    assert each.shape == (COUNT, 16)
    assert set(found.histogram().kind) == {norms.PATCHES}


@pytest.mark.parametrize(
    ("registers", "times"), [(True, None), (False, 2.0), (True, 2.0)]
)
def test_without_gives_measurements_the_other_tokens(scenes, registers, times):
    model = spiky()
    found = cka.measure(
        token_choice.without(model, registers, times),
        None,
        scenes,
        "out",
        "all",
        4,
    )
    ruler = cka.MinibatchCKA()
    streams = by_hand(model, prepared(model, scenes))[1:]
    for start in range(0, COUNT, 4):
        features = []
        for stream in streams:
            part = stream[start : start + 4].copy()
            if times is not None:
                for one in part:
                    size = lengths(one[model.prefix_tokens :])
                    for patch in np.flatnonzero(size > 2 * np.median(size)):
                        one[model.prefix_tokens + patch] = 0
            kept = [0, *range(5 if registers else 1, part.shape[1])]
            features.append(part[:, kept].reshape(4, -1))
        ruler.update(features)
    np.testing.assert_allclose(found.cka, ruler.compute().cka, atol=1e-4)


def test_without_leaves_the_network_as_it_is(scenes):
    model = spiky()
    other = token_choice.without(model)
    assert other.prefix_tokens == 1
    assert model.prefix_tokens == 5
    x = prepared(model, scenes)
    torch.testing.assert_close(other(x), model(x))


@pytest.mark.parametrize(
    "kind", ["plain", "registers", "no class token", "q and k norm"]
)
def test_sinks_are_what_the_definition_says(scenes, kind):
    model = spiky(kind)
    found = sinks.measure(model, scenes, batch_size=5)
    x = prepared(model, scenes)
    weights, streams = by_timm(model, x), by_hand(model, x)
    first = model.prefix_tokens
    for i, block in enumerate(model.module.blocks):
        entering = torch.from_numpy(streams[i]).float()
        with torch.no_grad():
            qkv = block.attn.qkv(block.norm1(entering)).double().numpy()
        width = qkv.shape[-1] // 3
        np.testing.assert_allclose(
            found.values[:, i], lengths(qkv[..., 2 * width :]), rtol=1e-3
        )
        np.testing.assert_allclose(
            found.norms[:, i], lengths(streams[i]), rtol=1e-4
        )
        for n in range(COUNT):
            drawn = weights[i][n, :, first:].mean(0).mean(0)
            np.testing.assert_allclose(found.received[n, i], drawn, atol=1e-5)


def test_kinds_share_all_attention_and_are_held_to_even_shares(scenes):
    model = spiky()
    found = sinks.measure(model, scenes)
    table = found.table()
    np.testing.assert_allclose(table.groupby("block").mass.sum(), 1)
    np.testing.assert_allclose(table.groupby("block").uniform.sum(), 1)
    register = table[table.kind == sinks.REGISTERS].iloc[0]
    tokens = found.norms.shape[-1]
    assert (register.tokens, register.uniform) == (4, 4 / tokens)
    own = found.received[:, 0, 1:5].sum(-1)
    assert register.mass == pytest.approx(own.mean())
    np.testing.assert_allclose(
        found.excess(sinks.REGISTERS)[:, 0], own - 4 / tokens
    )
    row = table[(table.kind == sinks.OUTLIERS) & (table.block == 0)]
    assert row.tokens.item() == len(LONG)


def test_value_ratios_are_to_patches_that_are_no_outliers(scenes):
    model = spiky()
    found = sinks.measure(model, scenes)
    ratio = found.value_ratio(sinks.OUTLIERS)
    first = model.prefix_tokens
    for n in range(COUNT):
        outliers = [first + patch for patch in LONG]
        others = [
            t for t in range(first, found.norms.shape[-1]) if t not in outliers
        ]
        own = found.values[n, 0]
        expected = np.log2(own[outliers].mean() / own[others].mean())
        assert ratio[n, 0] == pytest.approx(expected)
    none = found.value_ratio(sinks.OUTLIERS, times=1e6)
    assert np.isnan(none).all()
    assert sinks.OUTLIERS not in set(found.table(times=1e6).kind)


def test_shared_keys_do_not_hide_the_values(scenes):
    """EVA's queries may be wider than its values: these come last."""
    model = models.load("vit_small_patch16_dinov3?random")
    few = images.load("wardrobe", limit=2)
    found = sinks.measure(model, few, [0])
    x = prepared(model, few)
    seen = []
    qkv = model.module.blocks[0].attn.qkv
    handle = qkv.register_forward_hook(lambda _m, _a, out: seen.append(out))
    model(x)
    handle.remove()
    width = model.module.num_features
    values = seen[0][..., 2 * width :].double().numpy()
    np.testing.assert_allclose(found.values[:, 0], lengths(values), rtol=1e-3)


def continued(model, layer, stream, tokens, new):
    """The output of a ViT from a block on, with other tokens put in."""
    stream = torch.from_numpy(stream).float()
    stream[:, tokens] = torch.as_tensor(new).float()
    with torch.no_grad():
        for block in model.module.blocks[layer + 1 :]:
            stream = block(stream)
        return model.module.forward_head(model.module.norm(stream))


@pytest.mark.parametrize("way", token_replacement.WAYS)
def test_the_network_goes_on_from_the_tokens_put_in(scenes, way):
    model, tokens = spiky(), [1, 2, 7]
    x = prepared(model, scenes)
    stream = by_hand(model, x)[1]
    old = stream[:, tokens]
    new = {
        "their mean": np.stack([old.mean(0)] * COUNT),
        "another image's": old[[-1, *range(COUNT - 1)]],
    }
    if way == token_replacement.NOISE:
        seen = []
        last = model.module.blocks[0]
        with token_replacement.replaced(
            model, "blocks.0.out", tokens, way, seed=3
        ):
            handle = last.register_forward_hook(
                lambda _m, _a, out: seen.append(out.double().numpy())
            )
            model(x)
            handle.remove()
        new[way] = seen[0][:, tokens]
        apart = new[way].std(0, ddof=1) / old.std(0, ddof=1)
        assert np.median(apart) == pytest.approx(1, abs=0.1)
        kept = [t for t in range(stream.shape[1]) if t not in tokens]
        np.testing.assert_allclose(
            seen[0][:, kept], stream[:, kept], rtol=1e-3, atol=1e-4
        )
    with token_replacement.replaced(
        model, "blocks.0.out", tokens, way, seed=3
    ):
        found = model(x)
    expected = continued(model, 0, stream, tokens, new[way])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    untouched = continued(model, 0, stream, tokens, old)
    torch.testing.assert_close(model(x), untouched, rtol=1e-3, atol=1e-4)


def test_all_tokens_of_another_image_give_its_output(scenes):
    model = spiky()
    x = prepared(model, scenes)
    output = model(x).double().numpy()
    every = range(by_hand(model, x)[0].shape[1])
    (found,) = token_replacement.damage(
        model,
        scenes,
        "blocks.0.out",
        {"all": every},
        [token_replacement.ANOTHER],
        batch_size=COUNT,
    ).values()
    moved = output[[-1, *range(COUNT - 1)]] - output
    variance = ((output - output.mean(0)) ** 2).sum(1).mean()
    np.testing.assert_allclose(found, (moved**2).sum(1) / variance, rtol=1e-3)


def test_only_tokens_that_are_read_later_do_damage(scenes):
    """The class token is read after the last block, and no patch."""
    found = token_replacement.damage(
        spiky(),
        scenes,
        "out",
        {"none": [], "class": [0], "patch": [7]},
        [token_replacement.MEAN],
        batch_size=5,
    )
    moved = {case[:2]: each.any() for case, each in found.items()}
    assert {case for case, any_change in moved.items() if any_change} == {
        ("blocks.0.out", "class"),
        ("blocks.0.out", "patch"),
        ("blocks.1.out", "class"),
    }
    assert all(each.shape == (10,) for each in found.values())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, s: norms.measure(m, s).outliers(0), "above 0"),
        (lambda m, s: token_choice.without(m, times=-1.0), "above 0"),
        (
            lambda m, s: token_choice.without(
                models.load("lab/resnet?random")
            ),
            "no tokens on one grid",
        ),
        (
            lambda m, s: sinks.measure(models.load("lab/resnet?random"), s),
            "no attention",
        ),
        (
            lambda m, s: sinks.measure(
                models.load("swin_tiny_patch4_window7_224?random"), s
            ),
            "do not all attend",
        ),
        (lambda m, s: sinks.measure(m, s, [2]), "blocks 0 to 1"),
        (
            lambda m, s: replacing(m, s, way="the median"),
            "unknown way to replace tokens 'the median'.*their mean",
        ),
        (lambda m, s: replacing(m, s, layer="blocks.0.mid"), "in one layer"),
        (lambda m, s: replacing(m, s, tokens=[999]), "not all among"),
        (lambda m, s: replacing(m, s, size=1), "two images or more"),
        (lambda m, s: replacing(m, s, size=99), "do not fill a batch"),
    ],
)
def test_says_what_is_wrong(scenes, call, words):
    with pytest.raises(ValueError, match=words):
        call(spiky(), scenes)


def replacing(
    model, scenes, layer="blocks.0.out", tokens=(1,), way="noise", size=4
):
    return token_replacement.damage(
        model, scenes, layer, {"some": tokens}, [way], size
    )


def test_tokens_of_two_layers_at_once_are_refused():
    model = spiky()
    with (
        pytest.raises(ValueError, match="in one layer"),
        token_replacement.replaced(model, "out", [1], "noise"),
    ):
        pass


def test_an_output_without_variance_is_refused(scenes):
    model = spiky()
    torch.nn.init.zeros_(model.module.norm.weight)
    with pytest.raises(ValueError, match="the same for all images"):
        replacing(model, scenes)
