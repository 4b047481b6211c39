"""Maps of tokens and patches: known answers, and the numbers of a map."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from helpers import claims, images, models
from helpers.cka.hsic import hsic1
from helpers.features import token_grid
from helpers.features.token_grid import Positions
from helpers.measures import localization, localization_statistics
from helpers.models.families import vit as vit_family
from helpers.models.families.family import Tap
from helpers.models.vision_model import VisionModel

PATCH, COUNT = 8, 24


class Tokens(nn.Module):
    """A ViT whose tokens are its patches, after what `change` does."""

    def __init__(self, change=None):
        super().__init__()
        self.change = change or (lambda tokens: tokens)
        self.layer = nn.Identity()

    def forward(self, x):
        tokens = F.unfold(x, PATCH, stride=PATCH).transpose(1, 2)
        return self.layer(self.change(tokens))


def vit(change=None, size=(24, 32), prefix=0, grid=None, **more):
    module = Tokens(change)
    return VisionModel(
        spec="made up",
        module=module,
        family=vit_family.FAMILY,
        preprocessing={"input_size": (3, *size), "change": str(change)},
        transform=lambda image: torch.tensor(
            np.asarray(image, "float32")[: size[0], : size[1]] / 255
        ).permute(2, 0, 1),
        prefix_tokens=prefix,
        has_class_token=prefix > 0,
        grid=grid or (size[0] // PATCH, size[1] // PATCH),
        patch=(PATCH, PATCH),
        taps={"blocks.0.out": Tap("layer")},
        device=torch.device("cpu"),
        **more,
    )


@pytest.fixture(scope="module")
def scenes():
    return images.load("wardrobe", limit=COUNT)


def measured(model, scenes, **more):
    (found,) = localization.heatmaps(
        model, scenes, batch_size=8, **more
    ).values()
    return found


@pytest.mark.parametrize("size", [(24, 32), (30, 39)])
def test_tokens_that_are_patches_peak_at_their_own(scenes, size):
    maps = measured(vit(size=size), scenes)
    assert maps.grid == (3, 4)
    np.testing.assert_allclose(
        localization_statistics.own(maps.cka), 1, atol=1e-6
    )
    np.testing.assert_allclose(maps.cka, maps.pixels.cka, atol=1e-6)
    assert localization_statistics.found(maps.cka) == 1
    assert localization_statistics.locality(
        maps.cka, maps.pixels.cka
    ) == pytest.approx(1)


def test_tokens_that_change_places_peak_where_they_come_from(scenes):
    order = torch.randperm(12, generator=torch.manual_seed(0))
    maps = measured(vit(lambda tokens: tokens[:, order]), scenes)
    assert maps.cka.argmax(1).tolist() == order.tolist()
    expected = (order == torch.arange(12)).double().mean()
    assert localization_statistics.found(maps.cka) == pytest.approx(
        float(expected)
    )


def test_a_value_is_the_ratio_of_hsic_means_of_token_and_patch(scenes):
    weights = torch.randn(192, 5, generator=torch.manual_seed(1))
    model = vit(lambda tokens: (tokens.cumsum(1) @ weights / 20).tanh())
    maps = measured(model, scenes)
    token, patch, sums = 7, 2, np.zeros(3)
    for _, (x,) in scenes.batches(model, batch_size=8):
        features = model(x)[:, token].double()
        below = x[:, :, 0:8, 16:24].reshape(8, -1).double()
        k, m = features @ features.T, below @ below.T
        sums += [hsic1(k, m), hsic1(k, k), hsic1(m, m)]
    expected = sums[0] / math.sqrt(sums[1] * sums[2])
    assert maps.cka[token, patch] == pytest.approx(expected, abs=1e-5)


def test_class_and_register_tokens_have_rows_of_their_own(scenes):
    def change(tokens):
        third = tokens[:, 4:5]
        return torch.cat([tokens.mean(1, keepdim=True), third, tokens], 1)

    maps = measured(vit(change, prefix=2), scenes)
    assert list(maps.layers_x[:3]) == ["cls", "register 1", "row 1, column 1"]
    assert maps.cka.shape == (14, 12)
    np.testing.assert_allclose(maps.cka[1], maps.cka[2 + 4], atol=1e-6)
    assert localization_statistics.found(maps.cka) == 1
    table = maps.table()
    assert len(table) == 14 * 12
    row = table.iloc[(2 + 5) * 12 + 11]
    assert (row.token, row.token_row, row.token_column) == (
        "row 2, column 2",
        1,
        1,
    )
    assert (row.row, row.column, row.cka) == (2, 3, maps.cka[7, 11])
    assert table[table.token == "cls"].token_row.isna().all()
    pixels = maps.of_pixels.table()
    assert len(pixels) == 12 * 12
    assert pixels.cka.tolist() == maps.pixels.cka.ravel().tolist()
    assert table.attrs["num_images"] == COUNT


def test_a_constant_token_is_undefined_and_said(scenes):
    def change(tokens):
        return torch.cat([tokens[:, :3], 0 * tokens[:, 3:4] + 1, tokens], 1)

    with pytest.warns(UserWarning, match="row 1, column 4"):
        maps = measured(vit(lambda t: change(t)[:, :12]), scenes)
    assert np.isnan(maps.cka[3]).all()
    assert np.isfinite(np.delete(maps.cka, 3, 0)).all()
    assert math.isfinite(localization_statistics.contrast(maps.cka))
    assert localization_statistics.found(maps.cka) == pytest.approx(3 / 11)


def test_a_grid_too_large_for_the_image_is_padded_as_the_model_does(scenes):
    model = vit(lambda t: t, size=(20, 30), grid=(3, 4))
    model.module.forward = lambda x: model.module.layer(
        F.unfold(F.pad(x, (0, 2, 0, 4)), 8, stride=8).transpose(1, 2)
    )
    maps = measured(model, scenes)
    np.testing.assert_allclose(
        localization_statistics.own(maps.cka), 1, atol=1e-6
    )


def test_a_thinned_map_is_a_part_of_the_whole(scenes):
    whole, part = (
        measured(vit(size=(48, 40)), scenes, positions=n) for n in (64, 10)
    )
    assert (whole.grid, part.grid) == ((6, 5), (3, 3))
    kept = [r * 5 + c for r in (0, 2, 4) for c in (0, 2, 4)]
    np.testing.assert_allclose(part.cka, whole.cka[np.ix_(kept, kept)])
    assert part.layers_y[-1] == "row 5, column 5"
    assert part.settings["whole_grid"] == (6, 5)


@pytest.mark.parametrize(
    ("grid", "at_most", "rows", "columns"),
    [
        ((14, 14), 64, range(0, 14, 2), range(0, 14, 2)),
        ((15, 9), 12, range(1, 15, 4), range(0, 9, 4)),
        ((8, 8), 64, range(8), range(8)),
    ],
)
def test_every_kth_row_and_column_is_chosen(grid, at_most, rows, columns):
    assert token_grid.choose(grid, at_most) == Positions(grid, rows, columns)


def test_the_patches_of_a_feature_map_tile_the_image():
    x = torch.arange(3 * 65 * 50.0).reshape(1, 3, 65, 50)
    pieces = token_grid.cut(x, token_grid.choose((4, 3), 12), None)
    assert len(pieces) == 12
    together = torch.cat([piece.flatten() for piece in pieces])
    assert sorted(together.tolist()) == x.flatten().tolist()
    assert pieces[0].shape == (1, 3, 16, 17)


def test_the_locations_of_a_cnn_are_found_where_they_are():
    resnet = models.load("lab/resnet?random")
    found = token_grid.grids(resnet, "stem,stages.*.0.out")
    assert list(found.values()) == [(32, 32)] * 2 + [(16, 16), (8, 8), (4, 4)]
    mixer = models.load("lab/mixer?random")
    assert token_grid.grids(mixer, "embed") == {"embed": (8, 8)}
    assert not any(m._forward_hooks for m in resnet.module.modules())
    assert not any(m._forward_pre_hooks for m in resnet.module.modules())


def test_a_cnn_whose_branches_add_nothing_is_local(scenes):
    resnet = models.load("lab/resnet?random")
    for block in resnet.module.layer1:
        torch.nn.init.zeros_(block.bn3.weight)
    maps = localization.heatmaps(
        resnet,
        scenes,
        "stages.0.0.out",
        batch_size=8,
    )["stages.0.0.out"]
    assert maps.grid == (8, 8)
    assert maps.settings["whole_grid"] == (32, 32)
    assert localization_statistics.found(maps.cka) > 0.9


def test_impossible_sizes_are_refused(scenes):
    with pytest.raises(ValueError, match="batch_size=25"):
        localization.heatmaps(vit(), scenes, batch_size=25)
    with pytest.raises(ValueError, match="at least 1 position"):
        measured(vit(), scenes, positions=0)
    with pytest.raises(ValueError, match="unknown layer"):
        measured(vit(), scenes, layers="outt")


def test_contrast_is_the_number_of_patches_at_most_and_1_at_least():
    perfect = np.vstack([np.full((2, 12), 0.3), np.eye(12)])
    assert localization_statistics.contrast(perfect) == pytest.approx(12)
    assert localization_statistics.contrast(
        np.full((13, 12), 0.4)
    ) == pytest.approx(1)
    assert math.isnan(localization_statistics.contrast(-perfect))
    assert localization_statistics.locality(
        np.ones((12, 12)), perfect
    ) == pytest.approx(0)
    assert math.isnan(
        localization_statistics.locality(perfect, np.ones((12, 12)))
    )


def test_numbers_can_be_of_some_tokens_alone():
    c = np.eye(12)
    c[[0, 5]] = 1
    inside = ~localization_statistics.edges((3, 4))
    assert inside.nonzero()[0].tolist() == [5, 6]
    assert localization_statistics.own_mean(c, inside) == 1
    assert localization_statistics.contrast(c, inside) == pytest.approx(
        2 / (13 / 12)
    )
    assert localization_statistics.found(c, inside) == 0.5
    assert localization_statistics.found(c, ~inside) == 1


def test_undefined_values_are_left_out():
    c = np.eye(4)
    c[0] = np.nan
    c[:, 2] = np.nan
    assert localization_statistics.contrast(c) == pytest.approx(1 / (2 / 6))
    assert localization_statistics.found(c) == 1
    assert math.isnan(localization_statistics.found(np.full((4, 4), np.nan)))


def test_edge_pull_sees_distant_edges_alone():
    grid, edge = (5, 5), localization_statistics.edges((5, 5))
    c = np.where(np.outer(edge, edge), 0.7, 0.2)
    assert localization_statistics.edge_pull(c, grid) == pytest.approx(0.5)
    at = np.indices(grid).reshape(2, -1)
    near = np.abs(at[:, :, None] - at[:, None]).max(0) <= 1
    assert localization_statistics.edge_pull(
        np.where(near, 9, c), grid
    ) == pytest.approx(0.5)
    assert localization_statistics.edge_pull(1 - c, grid) == pytest.approx(
        -0.5
    )
    assert math.isnan(localization_statistics.edge_pull(np.eye(4), (2, 2)))


def test_the_summary_has_the_intervals_of_the_claims(scenes):
    maps = measured(vit(lambda tokens: tokens.cumsum(1)), scenes)
    rows = localization_statistics.summary({"blocks.0.out": maps}).set_index(
        "measure"
    )
    assert list(rows.index) == list(localization_statistics.MEASURES)
    same = claims.estimate(localization_statistics.locality, maps, maps.pixels)
    assert rows.loc["locality", ["value", "low", "high"]].tolist() == [
        same.value,
        same.low,
        same.high,
    ]
