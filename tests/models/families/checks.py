"""What every family must satisfy, by routes that do not go through it."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor, nn

from helpers import cka, features, images, models
from helpers.features import tokens as token_features
from helpers.features.record import listen
from helpers.features.token_grid import choose
from helpers.measures import (
    attention,
    attention_weights,
    localization,
    receptive_fields,
    residual,
    skip_removal,
)
from helpers.models.vision_model import VisionModel

close = torch.testing.assert_close


def small(name: str, **settings: Any) -> VisionModel:
    """An untrained model none of whose parts is near the identity."""
    torch.manual_seed(0)
    module = timm.create_model(name, num_classes=0, **settings).eval()
    for key, parameter in module.named_parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
        elif "qkv" in key or "q_proj" in key or "relative" in key:
            nn.init.normal_(parameter, std=0.2)
    return models.wrap(module, name)


def noise(model: VisionModel, count: int = 2) -> Tensor:
    generator = torch.manual_seed(1)
    size = model.preprocessing["input_size"]
    return torch.randn(count, *size, generator=generator)


def recorded(
    model: VisionModel, selection: str = "all", tokens: str | int = "each"
) -> dict[str, Tensor]:
    with features.record(model, selection, tokens) as tape:
        model(noise(model))
    return tape


def sums_hold(model: VisionModel) -> dict[str, Tensor]:
    """Every total is its skip and its branch; the names say the same."""
    sums = model.family.sums(model.module, model.taps)
    assert not isinstance(sums, str)
    for layer, each in sums.items():
        taps = {"skip": each.skip, "branch": each.branch, "total": each.total}
        parts: dict[str, Tensor] = {}
        view = replace(model, taps=taps)

        def hear(name: str, x: Tensor, parts: dict[str, Tensor] = parts):
            parts[name] = x.clone()  # some networks add in place

        with listen(view, "all", hear):
            model(noise(model))
        close(parts["total"], parts["skip"] + parts["branch"])
        assert parts["branch"].norm() > 0.01 * parts["skip"].norm(), layer
    tape = recorded(model)
    for name in (n for n in tape if n.endswith(".mid")):
        block, each = name.removesuffix("mid"), sums[f"{name[:-3]}attn"]
        stream = recorded(replace(model, taps={"z": each.skip}), "z")["z"]
        mid = stream.reshape(tape[name].shape) + tape[f"{block}attn"]
        close(tape[name], mid)
        if f"{block}mixed" not in tape:  # a third branch, as in XCiT
            close(tape[f"{block}out"], tape[name] + tape[f"{block}fc2"])
    return tape


def weights_of(model: VisionModel) -> list[Tensor]:
    """The weights as the family computes them: (n, heads, q, k) a block."""
    layers = list(attention_weights.attention_layers(model).values())
    with attention_weights.listen(model, layers, lambda _, w: w) as tapes:
        model(noise(model))
    return [value for tape in tapes for value in tape.values()]


def by_timm(model: VisionModel, dropout: str = "attn_drop") -> list[Tensor]:
    """The weights that timm itself forms without fused attention."""
    seen: list[Tensor] = []
    handles = []
    kept = {}
    for name, module in model.module.named_modules():
        if hasattr(module, "fused_attn"):
            kept[module] = module.fused_attn
            module.fused_attn = False
        if name.rpartition(".")[2] == dropout:
            handles.append(
                module.register_forward_hook(
                    lambda _m, _x, out: seen.append(out.detach())
                )
            )
    model(noise(model))
    for handle in handles:
        handle.remove()
    for module, fused in kept.items():
        module.fused_attn = fused
    return seen


def removal_gives_the_branch(
    model: VisionModel, blocks: str, layer: str, out: str
) -> None:
    """Without its skip a sum is what its branch makes of the same input."""
    with skip_removal.remove_skip(model, blocks):
        tape = recorded(model)
        close(tape[out], tape[layer])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = residual.measure(model, scenes(4))
    assert any("no skip connection" in str(w.message) for w in told)
    assert layer in found.left_out
    assert not torch.equal(recorded(model, out)[out], tape[out])


def scenes(count: int = 8) -> images.Images:
    return images.load("wardrobe", limit=count)


def all_measures(
    model: VisionModel, attends: bool = True, layers: str = "out"
) -> None:
    """Every measure of the book gives finite numbers."""
    few = scenes()
    ours = cka.measure(model, None, few, layers, batch_size=4)
    assert np.isfinite(ours.cka).all()
    np.testing.assert_allclose(np.diag(ours.cka), 1, atol=1e-5)
    found = residual.measure(model, few, 4)
    assert found.left_out == {}
    assert np.isfinite(found.per_image.value).all()
    fields = receptive_fields.fields(model, scenes(2), layers, channels=2)
    assert (fields.maps.sum((1, 2, 3)) > 0).all()
    assert receptive_fields.branches(model)
    maps = localization.heatmaps(model, few, layers, 4, positions=9)
    assert all(np.isfinite(each.cka).any() for each in maps.values())
    grid = token_features.last_grid(model, layers)
    kept = token_features.tokens_of(model, few, layers, choose(grid, 4), 4)
    assert all(torch.isfinite(each).all() for each in kept.values())
    pooled = features.pooled(model, few, layers, ["mean", "patches"], 4)
    assert all(torch.isfinite(each).all() for each in pooled.values())
    if not attends:
        return
    table = attention.mean_distance(model, few, renormalise=True)
    assert np.isfinite(table[["distance", "se"]].to_numpy()).all()
    assert (table.distance <= 2 * table.uniform).all()
    seen = attention.maps(model, scenes(2), [-1], "centre")
    total = np.nansum(seen, (-2, -1))
    assert ((total > 0) & (total < 1 + 1e-5)).all()
