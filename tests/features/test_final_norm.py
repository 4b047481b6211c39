"""Features after the final norm against timm's own, and k-NN on them."""

import copy

import pytest
import timm
import torch

from helpers import features, images, models, probes


@pytest.fixture(scope="module")
def scenes():
    return images.load("wardrobe", limit=12)


def test_blocks_are_read_as_timm_reads_them(scenes):
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", depth=3, img_size=64)
    for parameter in module.norm.parameters():
        torch.nn.init.uniform_(parameter, 0.5, 1.5)
    model = models.wrap(module.eval(), "tiny")
    normed = features.after_norm(model)
    found = features.pooled(normed, scenes, "out", ["cls", "mean"])
    (x,) = next(iter(scenes.batches(model, batch_size=12)))[1]
    with torch.no_grad():
        own = module.forward_intermediates(
            x, norm=True, return_prefix_tokens=True, output_fmt="NLC"
        )[1]
    for i, (patches, prefix) in enumerate(own):
        tokens = torch.cat([prefix, patches], 1)
        for choice, expected in (
            ("cls", tokens[:, 0]),
            ("mean", tokens.mean(1)),
        ):
            torch.testing.assert_close(
                found[f"blocks.{i}.out", choice],
                expected,
                rtol=1e-4,
                atol=1e-5,
            )


def test_the_last_block_after_the_norm_is_the_norm(scenes):
    model = models.load("lab/vit_cls")
    normed = features.extract(
        features.after_norm(model), scenes, "blocks.11.out"
    )
    own = features.extract(model, scenes, "norm")
    assert abs(normed["blocks.11.out"] - own["norm"]).max() < 1e-5
    assert list(features.after_norm(model).taps)[-1] == "blocks.11.out"


def test_listening_to_the_norm_hears_the_network_only(scenes):
    model = models.load("lab/vit_cls")
    with features.record(model, "norm", "cls") as tape:
        features.extract(features.after_norm(model), scenes, "blocks.0.out")
    expected = features.extract(model, scenes, "norm", "cls")["norm"]
    assert abs(tape["norm"].double().numpy() - expected).max() < 1e-5


def test_neighbours_may_be_sought_before_the_norm_or_after_it(scenes):
    module = copy.deepcopy(models.load("lab/vit_cls").module)
    with torch.no_grad():  # of all channels the norm leaves one
        module.norm.weight[1:] = 0
        module.norm.bias.zero_()
    model = models.wrap(module, "one channel")
    bank = images.load("wardrobe", "train", limit=150)
    settings = {"tokens": ["cls"], "probes": ["knn"], "targets": ["fabric"]}
    raw, final = (
        probes.layerwise(
            model, bank, scenes, "blocks.5.out", norm=norm, **settings
        )
        for norm in ("raw", "final")
    )
    by_view = probes.layerwise(
        features.after_norm(model), bank, scenes, "blocks.5.out", **settings
    )
    assert (final.right == by_view.right).all()
    assert final.table.depth.equals(raw.table.depth)
    assert (raw.table.attrs["norm"], final.table.attrs["norm"]) == (
        "raw",
        "final",
    )
    assert raw.table.held_out.item() > final.table.held_out.item()
    with pytest.raises(ValueError, match=r"'last'.*'raw', 'final'"):
        probes.layerwise(model, bank, scenes, norm="last")


def test_a_model_without_such_a_norm_says_so():
    with pytest.raises(ValueError, match="no layer norm over the tokens"):
        features.after_norm(models.load("lab/resnet?random"))
    with pytest.raises(ValueError, match="no layer norm over the tokens"):
        features.after_norm(models.load("lab/vit_gap?random"))
