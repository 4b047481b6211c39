"""The CKA engine against loops over the papers' formulas."""

import json
import os
import subprocess
import sys
import textwrap
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from helpers import cka, models
from helpers.cka.comparison import thinned
from helpers.cka.hsic import u_products
from helpers.features import layer_selection
from helpers.features.record import record

ROOT = Path(__file__).resolve().parents[2]


def hsic_oracle(K, L):
    """Equation 3 of Shekhar et al. 2022, summed entry by entry."""
    n = len(K)
    trace = sum_k = sum_l = ones = 0.0
    for j in range(n):
        into = out_of = 0.0
        for i in range(n):
            if i != j:
                trace += K[i, j] * L[j, i]
                into += K[i, j]
                out_of += L[j, i]
        sum_k += into
        sum_l += out_of
        ones += into * out_of
    value = trace + sum_k * sum_l / ((n - 1) * (n - 2)) - 2 / (n - 2) * ones
    return value / (n * (n - 3))


def oracle(batches_x, batches_y):
    """Equation 4: ratio of the means over batches, in float64."""

    def grams(batch):
        flat = [np.asarray(x, np.float64).reshape(len(x), -1) for x in batch]
        flat = [x - x.mean(0) for x in flat]
        return [x @ x.T for x in flat]

    xs, ys = (list(map(grams, batches)) for batches in (batches_x, batches_y))
    result = np.empty((len(xs[0]), len(ys[0])))
    for i in range(len(xs[0])):
        for j in range(len(ys[0])):
            pairs = [(x[i], y[j]) for x, y in zip(xs, ys, strict=True)]
            cross = np.mean([hsic_oracle(k, m) for k, m in pairs])
            own_x = np.mean([hsic_oracle(k, k) for k, _ in pairs])
            own_y = np.mean([hsic_oracle(m, m) for _, m in pairs])
            positive = own_x > 0 and own_y > 0
            result[i, j] = (
                cross / np.sqrt(own_x * own_y) if positive else np.nan
            )
    return result


def related(n, widths, batches, seed=0):
    """Layers that share a signal, in float32."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(batches):
        signal = rng.normal(size=(n, 6))
        made.append(
            [
                (
                    signal @ rng.normal(size=(6, width))
                    + (k + 1) * rng.normal(size=(n, width))
                ).astype(np.float32)
                for k, width in enumerate(widths)
            ]
        )
    return made


def measure(batches_x, batches_y=None):
    engine = cka.MinibatchCKA()
    for k, xs in enumerate(batches_x):
        engine.update(xs, None if batches_y is None else batches_y[k])
    return engine.compute()


def test_hsic1_is_equation_3():
    rng = np.random.default_rng(0)
    K, L = (x @ x.T for x in rng.normal(size=(2, 9, 5)))
    assert cka.hsic1(K, L) == pytest.approx(hsic_oracle(K, L), rel=1e-12)


def test_all_pairs_are_equation_3(monkeypatch):
    rng = np.random.default_rng(1)
    x, y = (torch.tensor(rng.normal(size=(k, 11, 5))) for k in (3, 2))
    x, y = x @ x.mT, y @ y.mT
    for slab in (2**23, 40):  # at once, and row by row
        monkeypatch.setattr("helpers.cka.hsic.SLAB", slab)
        cross, own_x, own_y = u_products(x, y)
        for i, K in enumerate(x.numpy()):
            for j, L in enumerate(y.numpy()):
                assert cross[i, j].item() == pytest.approx(hsic_oracle(K, L))
        assert own_x.numpy() == pytest.approx(
            [hsic_oracle(K, K) for K in x.numpy()]
        )
        assert own_y.numpy() == pytest.approx(
            [hsic_oracle(L, L) for L in y.numpy()]
        )


@pytest.mark.parametrize("n", [4, 7, 32])
def test_estimates_are_equation_4(n):
    x, y = related(n, (40, 300, 9), 3), related(n, (50, 17), 3, seed=1)
    assert measure(x, y).cka == pytest.approx(oracle(x, y), abs=1e-6)
    assert measure(x).cka == pytest.approx(oracle(x, x), abs=1e-6)


@pytest.mark.parametrize("n", [64, 130, 300])
def test_blocked_gram_matrix_is_the_plain_one(n):
    x = torch.randn(n, 1237)
    shift = x[:: n // 16].double().mean(0)
    plain = (x.double() - shift) @ (x.double() - shift).T
    torch.testing.assert_close(cka.gram(x).double(), plain, atol=1e-2, rtol=0)
    assert torch.equal(cka.gram(x), cka.gram(x).T)


@pytest.mark.parametrize("scale", [2.0**-7, 1.0, 2.0**7])
def test_precise_with_offset_and_scale(scale):
    x = related(16, (400, 3000), 2)
    spread = [np.std(layer) for layer in x[0]]
    x = [
        [
            ((layer + 60 * s) * scale).astype(np.float32)
            for layer, s in zip(batch, spread, strict=True)
        ]
        for batch in x
    ]
    assert measure(x).cka == pytest.approx(oracle(x, x), abs=1e-4)


def test_takes_any_shape_kind_and_memory_layout():
    plain = torch.randn(8, 6, 5, 4)
    maps = plain.to(memory_format=torch.channels_last)
    want = measure([[plain, plain[:, 0]]]).cka
    assert measure([[maps, maps[:, 0]]]).cka == pytest.approx(want)
    assert measure([[plain.double().numpy(), plain[:, 0]]]).cka == (
        pytest.approx(want, abs=1e-6)
    )
    assert np.isfinite(measure([[torch.arange(8), plain]]).cka).all()


def test_halves_are_raised_to_float32():
    x = related(16, (500, 800), 2)
    for dtype in (torch.float16, torch.bfloat16):
        halves = [[torch.tensor(f).to(dtype) for f in b] for b in x]
        same = [[f.float().numpy() for f in b] for b in halves]
        got = measure(halves).cka
        assert got == pytest.approx(oracle(same, same), abs=1e-6)


def test_global_precision_is_neither_used_nor_changed():
    x = related(32, (4000, 4000), 1)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu"):
            got = measure(x).cka
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert got == pytest.approx(oracle(x, x), abs=1e-6)


def test_invariances():
    rng = np.random.default_rng(0)
    x = related(32, (12,), 2)
    turn = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    bend = np.diag(np.geomspace(1, 50, 12)) @ turn
    same = [[f, 3 * f @ turn + 5] for (f,) in x]
    assert measure(same).cka == pytest.approx(np.ones((2, 2)), abs=1e-6)
    assert measure([[f, f @ bend] for (f,) in x]).cka[0, 1] < 0.9


def test_unrelated_features_are_near_zero_and_may_be_negative():
    torch.manual_seed(0)
    got = measure([[torch.randn(32, 768) for _ in range(6)] for _ in range(8)])
    off = got.cka[~np.eye(6, dtype=bool)]
    assert np.abs(off).max() < 0.15
    assert off.min() < 0
    assert abs(off.mean()) < 0.03


def test_ratio_of_means_not_mean_of_ratios():
    x, y = related(8, (20,), 5), related(8, (20,), 5, seed=1)
    single = [measure([a], [b]).cka for a, b in zip(x, y, strict=True)]
    assert measure(x, y).cka == pytest.approx(oracle(x, y), abs=1e-6)
    assert not np.allclose(measure(x, y).cka, np.mean(single, axis=0))


def test_minibatches_agree_with_the_full_batch():
    (full,) = related(512, (60, 80), 1)
    parts = [[f[i : i + 32] for f in full] for i in range(0, 512, 32)]
    many, one = measure(parts), measure([full])
    assert abs(many.cka[0, 1] - one.cka[0, 1]) < 4 * many.se[0, 1]
    assert many.batches == 16
    assert many.batch_size == 32
    assert np.isnan(one.se).all()


def test_standard_error_is_the_delete_one_jackknife():
    x, y = related(8, (20, 30), 6), related(8, (25,), 6, seed=1)
    without = np.array(
        [oracle(x[:b] + x[b + 1 :], y[:b] + y[b + 1 :]) for b in range(6)]
    )
    want = np.sqrt(5 / 6 * ((without - without.mean(0)) ** 2).sum(0))
    assert measure(x, y).se == pytest.approx(want, rel=1e-4)


def test_standard_error_covers_the_truth():
    """The spread over repeated studies is what the jackknife says."""
    studies = [measure(related(8, (20, 30), 12, seed=s)) for s in range(60)]
    spread = np.std([s.cka[0, 1] for s in studies], ddof=1)
    assert np.mean([s.se[0, 1] for s in studies]) == pytest.approx(
        spread, rel=0.3
    )


def test_merged_parts_are_one_pass():
    x = related(8, (20, 30), 5)
    whole = measure(x)
    parts = [cka.MinibatchCKA(), cka.MinibatchCKA(), cka.MinibatchCKA()]
    for k, batch in enumerate(x):
        parts[k % 2].update(batch)
    merged = parts[0].merge(parts[1]).merge(parts[2]).compute()
    assert merged.cka == pytest.approx(whole.cka, rel=1e-12)
    assert merged.se == pytest.approx(whole.se, rel=1e-9)
    assert merged.batches == 5
    with pytest.raises(ValueError, match="layers of x"):
        parts[0].merge(cka.MinibatchCKA().update(x[0][:1]))


def test_two_processes_give_the_numbers_of_one(tmp_path):
    x = related(8, (20, 30), 5)
    np.savez(tmp_path / "x.npz", *[np.hstack(batch) for batch in x])
    script = tmp_path / "parallel.py"
    script.write_text(
        textwrap.dedent(
            """
            import json, sys
            import numpy as np
            import torch.distributed as dist
            from helpers.cka import MinibatchCKA

            dist.init_process_group("gloo")
            rank, world = dist.get_rank(), dist.get_world_size()
            batches = list(np.load(f"{sys.argv[1]}/x.npz").values())
            engine = MinibatchCKA()
            for batch in batches[rank::world]:
                engine.update(np.split(batch, [20], axis=1))
            got = engine.all_reduce().compute()
            with open(f"{sys.argv[1]}/{rank}.json", "w") as file:
                json.dump([got.cka.tolist(), got.se.tolist(), world], file)
            dist.destroy_process_group()
            """
        )
    )
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node=2", str(script), str(tmp_path)),
        ],
        check=True,
        capture_output=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    whole = measure(x)
    for rank in (0, 1):
        values, errors, world = json.loads(
            (tmp_path / f"{rank}.json").read_text()
        )
        assert world == 2
        assert np.array(values) == pytest.approx(whole.cka, rel=1e-12)
        assert np.array(errors) == pytest.approx(whole.se, rel=1e-9)


CONSTANTS = {
    "zero": torch.zeros(8, 50),
    "large": torch.full((8, 50), 1234.567),
    "row": torch.randn(1, 5000).expand(8, -1) * 1e4,
    "rounding": torch.randn(1, 5000) * (1 + 1.2e-7 * torch.randn(8, 5000)),
    "bfloat16": (torch.randn(1, 50) + 7).bfloat16().expand(8, -1),
}


@pytest.mark.parametrize("kind", CONSTANTS)
def test_constant_layer_is_nan_in_its_row_and_column_only(kind):
    engine = cka.MinibatchCKA(["first", "still", "last"])
    for first, last in related(8, (20, 30), 3):
        engine.update([first, CONSTANTS[kind], last])
    with pytest.warns(UserWarning, match="NaN") as caught:
        got = engine.compute()
    assert len(caught) == 1
    assert "still of x" in str(caught[0].message)
    assert "first" not in str(caught[0].message)
    hollow = np.isnan(got.cka)
    assert hollow[1].all()
    assert hollow[:, 1].all()
    assert hollow.sum() == 5


def test_constant_layer_of_one_side_leaves_the_other_alone():
    (x,), (y,) = related(8, (20, 30), 1), related(8, (9, 9), 1, seed=1)
    y[1] = np.full_like(y[1], 3.25)
    with pytest.warns(UserWarning, match=r"layer 1 of y"):
        got = measure([x], [y])
    assert np.isnan(got.cka).tolist() == [[False, True], [False, True]]


def test_constant_gram_matrix_is_recognised():
    engine = cka.MinibatchCKA()
    flat = torch.full((6, 6), 0.1)
    engine.update_grams([flat, cka.gram(torch.randn(6, 9))])
    with pytest.warns(UserWarning, match="layer 0 of x"):
        assert np.isnan(engine.compute().cka[0]).all()


def test_nearly_constant_layer_is_measured():
    """An offset of 10,000 spreads is hard, not constant."""
    x = [[f.astype(np.float64) + 1e4 for f in b] for b in related(8, (9,), 2)]
    small = [[f.astype(np.float32) for f in b] for b in x]
    assert measure(small, x).cka == pytest.approx(np.ones((1, 1)), abs=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 3])
def test_features_that_are_not_numbers_are_refused(bad, row):
    x = [np.ones((8, 4)), np.random.default_rng(0).normal(size=(8, 4))]
    x[1][row, 2] = bad
    with pytest.raises(ValueError, match="deep of x has NaN or infinite"):
        cka.MinibatchCKA(["shallow", "deep"]).update(x)


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ([([np.eye(3)], None)], "at least 4 images.*got 3"),
        ([([np.eye(8)], [np.eye(9)])], "x has 8 images.*y has 9"),
        ([([np.eye(8), np.eye(9)], None)], "layers of x.*images: 8, 9"),
        ([([np.eye(8)], None), ([np.eye(6)], None)], "images.*was 8, now.*6"),
        ([([np.eye(8)], None), ([np.eye(8)] * 2, None)], "layers of x"),
        ([([np.eye(8)], None), ([np.eye(8)], [np.eye(8)])], "layers of y"),
        ([([], None)], "layers of x, got 0"),
        ([([np.float32(1)], None)], r"features are \(n, ...\)"),
        ([([np.empty((8, 0))], None)], r"features are \(n, ...\)"),
        ([], "no minibatch yet"),
    ],
)
def test_what_does_not_fit_is_refused(updates, message):
    engine = cka.MinibatchCKA()

    def run():
        for xs, ys in updates:
            engine.update(xs, ys)
        engine.compute()

    with pytest.raises(ValueError, match=message):
        run()


def test_a_refused_minibatch_leaves_no_trace():
    x = related(8, (20, 30), 2)
    engine = cka.MinibatchCKA().update(x[0])
    with pytest.raises(ValueError, match="NaN"):
        engine.update([x[1][0], np.full_like(x[1][1], np.nan)])
    engine.update(x[1])
    assert engine.compute().cka == pytest.approx(measure(x).cka)


@dataclass
class Noise:
    """Images as `compare` takes them: a fixed tensor for each model."""

    tensors: dict
    spec: str = "noise"
    split: str = "test"

    def __len__(self):
        return len(next(iter(self.tensors.values())))

    def batches(self, *models, batch_size, drop_last=False):
        for i in range(0, len(self), batch_size):
            where = np.arange(i, min(i + batch_size, len(self)))
            yield where, [self.tensors[m][where] for m in models]


VIT = "vit_tiny_patch16_224?random&img_size=32"


@pytest.fixture(scope="module")
def vit():
    return models.load(VIT, device="cpu")


@pytest.fixture(scope="module")
def resnet():
    return models.load("resnet18?random", device="cpu")


@pytest.fixture(scope="module")
def images(vit, resnet):
    torch.manual_seed(0)
    return Noise(
        {vit: torch.randn(26, 3, 32, 32), resnet: torch.randn(26, 3, 48, 48)}
    )


def features(model, images, selection, tokens, size):
    """Features of each HSIC batch, kept as they were when they passed."""
    batches = []
    for i in range(0, len(images) - size + 1, size):
        with record(model, selection, tokens) as tape:
            model(images.tensors[model][i : i + size])
        order = layer_selection.names(model, selection)
        batches.append([tape[name].numpy() for name in order])
    return batches


def square(table, column="cka"):
    return table.pivot_table(
        column, "layer_x", "layer_y", sort=False, dropna=False
    ).to_numpy()


def test_compare_two_models(vit, resnet, images):
    table = cka.compare(vit, resnet, images, ("out", "out"), batch_size=8)
    want = oracle(
        features(vit, images, "out", "all", 8),
        features(resnet, images, "out", "all", 8),
    )
    assert square(table) == pytest.approx(want, abs=1e-6)
    assert list(table.layer_x.unique()) == layer_selection.names(vit, "out")
    assert list(table.layer_y.unique()) == layer_selection.names(resnet, "out")
    assert table.depth_x[0] == layer_selection.depth(vit, "blocks.0.out")
    assert (table.se > 0).all()
    settings = table.attrs
    assert settings["model_x"] == VIT
    assert settings["model_y"] == "resnet18?random"
    assert settings["num_images"] == 24
    assert settings["dropped_images"] == 2
    assert settings["hsic_batches"] == 3
    assert settings["seconds"] > 0
    json.dumps(settings)


def test_compare_sees_layers_before_in_place_operations(resnet, images):
    """`norm1` of a block is overwritten by an in-place ReLU right after."""
    table = cka.compare(resnet, None, images, "norm1,out", batch_size=8)
    norms = [
        b.bn1 for i in range(1, 5) for b in getattr(resnet.module, f"layer{i}")
    ]
    kept = []
    hooks = [
        m.register_forward_hook(lambda _m, _a, out: kept.append(out.clone()))
        for m in norms
    ]
    batches = []
    for i in range(0, 24, 8):
        resnet(images.tensors[resnet][i : i + 8])
        batches.append([k.numpy() for k in kept])
        kept.clear()
    for hook in hooks:
        hook.remove()
    mine = square(table)[::2, ::2]
    assert mine == pytest.approx(oracle(batches, batches), abs=1e-6)


def test_compare_runs_one_model_once(vit, images):
    calls = []
    hook = vit.module.register_forward_hook(lambda *_: calls.append(1))
    try:
        table = cka.compare(vit, vit, images, "out", batch_size=8)
        assert len(calls) == 3
        other = cka.compare(vit, None, images, ("ln1", "out"), batch_size=8)
        assert len(calls) == 6
    finally:
        hook.remove()
    assert square(table) == pytest.approx(square(table).T)
    assert np.diag(square(table)) == pytest.approx(np.ones(12))
    want = oracle(
        features(vit, images, "ln1", "all", 8),
        features(vit, images, "out", "all", 8),
    )
    assert square(other) == pytest.approx(want, abs=1e-6)


def test_pairs_share_forward_passes_and_minibatches(vit, resnet, images):
    pairs = {"own": (vit, None), "mixed": (vit, resnet), "back": (resnet, vit)}
    calls = []
    hooks = [
        m.module.register_forward_hook(lambda module, *_: calls.append(module))
        for m in (vit, resnet)
    ]
    try:
        maps = cka.measure_pairs(pairs, images, "out", batch_size=8)
    finally:
        for hook in hooks:
            hook.remove()
    assert calls == [vit.module, resnet.module] * 3
    assert list(maps) == list(pairs)
    for name, (x, y) in pairs.items():
        alone = cka.measure(x, y, images, "out", batch_size=8)
        assert maps[name].cka == pytest.approx(alone.cka, abs=1e-6)
        assert maps[name].se == pytest.approx(alone.se, abs=1e-6)
        assert maps[name].layers_y == alone.layers_y
        assert maps[name].settings["model_y"] == (y or x).spec
    assert maps["back"].cka == pytest.approx(maps["mixed"].cka.T, abs=1e-6)


def test_a_map_by_type_is_measured_type_by_type(vit, images):
    """Types that only one side has are left out."""
    chosen = ("ln1,qkv,fc1", "fc1,out,ln1")
    whole = cka.measure(vit, None, images, chosen, batch_size=8)
    parts = whole.by_type()
    assert list(parts) == ["ln1", "fc1"]
    for kind, part in parts.items():
        alone = cka.measure(vit, None, images, kind, batch_size=8)
        assert part.cka == pytest.approx(alone.cka, abs=1e-6)
        assert part.leave_one_out == pytest.approx(
            alone.leave_one_out, abs=1e-6
        )
        pd.testing.assert_frame_equal(
            part.table(), alone.table(), check_exact=False, atol=1e-6
        )
    assert part.settings == whole.settings
    table = whole.table_by_type()
    assert len(table) == 2 * 12**2
    last = table.iloc[-1]
    assert [last.layer_x, last.block_x, last.type] == [
        *("blocks.11.fc1", "11", "fc1")
    ]
    assert last.cka == part.cka[-1, -1]
    assert table.attrs == whole.settings
    unlike = cka.measure(vit, None, images, ("ln1", "out"), batch_size=8)
    with pytest.raises(ValueError, match="in common: ln1 and out"):
        unlike.by_type()


def test_change_has_its_own_standard_errors(vit, resnet, images):
    chosen = ("blocks.0-3.out", "out")
    after = cka.measure(vit, resnet, images, chosen, "mean", batch_size=8)
    before = cka.measure(vit, resnet, images, chosen, "all", batch_size=8)
    change = after - before
    x, y, y_all = (
        features(model, images, wanted, tokens, 8)
        for model, wanted, tokens in (
            (vit, chosen[0], "mean"),
            (resnet, "out", "mean"),
            (resnet, "out", "all"),
        )
    )
    x_all = features(vit, images, chosen[0], "all", 8)
    without = [
        oracle(*(side[:b] + side[b + 1 :] for side in (x, y)))
        - oracle(*(side[:b] + side[b + 1 :] for side in (x_all, y_all)))
        for b in range(3)
    ]
    assert change.cka == pytest.approx(
        oracle(x, y) - oracle(x_all, y_all), abs=1e-5
    )
    want = np.sqrt(2 * np.var(without, axis=0))
    assert change.se == pytest.approx(want, abs=1e-5)
    assert change.settings["tokens"] == "mean"
    assert change.settings["before"]["tokens"] == "all"
    assert np.abs((after - after).se).max() == 0
    fewer = cka.measure(vit, resnet, images, chosen, batch_size=4)
    with pytest.raises(ValueError, match=r"hsic_batch_size.*: 8 and 4"):
        after - fewer
    with pytest.raises(ValueError, match="different layers"):
        after - cka.measure(vit, None, images, "out", batch_size=8)


@pytest.mark.parametrize("forward", [4, 8, 24])
@pytest.mark.parametrize("tokens", ["all", "mean"])
def test_hsic_batch_need_not_be_the_forward_batch(
    vit, images, forward, tokens
):
    table = cka.compare(
        vit, None, images, "out", tokens, forward, hsic_batch_size=8
    )
    batches = features(vit, images, "out", tokens, 8)
    want = measure(batches)
    assert square(table) == pytest.approx(want.cka, abs=1e-6)
    assert square(table, "se") == pytest.approx(want.se, abs=1e-5)
    assert table.attrs["hsic_batch_size"] == 8
    assert table.attrs["num_images"] == 24


def test_class_token_of_the_first_norm_is_constant(vit, images):
    with pytest.warns(UserWarning, match=r"blocks.0.ln1 of x"):
        table = cka.compare(vit, None, images, "ln1", "cls", batch_size=8)
    hollow = np.isnan(square(table))
    assert hollow[0].all()
    assert not hollow[1:, 1:].any()


def test_compare_refuses_before_any_work(vit, images):
    def forbidden(*_):
        raise AssertionError("the model ran")

    hook = vit.module.register_forward_pre_hook(forbidden)
    try:
        for arguments, message in (
            ({"batch_size": 3}, "at least 4 images"),
            ({"batch_size": 32}, "26 images do not fill one HSIC batch of 32"),
            ({"batch_size": 8, "hsic_batch_size": 12}, "multiple.*valid: 16"),
            ({"batch_size": 0}, "at least"),
            ({"batch_size": 8, "layers": "ln9"}, "unknown layer.*ln1"),
            ({"batch_size": 8, "tokens": "clas"}, "unknown token.*cls"),
        ):
            with pytest.raises(ValueError, match=message):
                cka.compare(vit, None, images, **arguments)
    finally:
        hook.remove()


def test_hooks_are_gone_after_an_error(vit, images):
    bad = Noise({vit: images.tensors[vit].clone()})
    bad.tensors[vit][9, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"blocks\.0\.out of x has NaN"):
        cka.compare(vit, None, bad, batch_size=8)
    modules: list[nn.Module] = list(vit.module.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules)


def test_no_gradients_and_no_warnings(vit, images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cka.compare(vit, None, images, "out", batch_size=8)
        x = torch.randn(8, 9, requires_grad=True)
        assert not cka.gram(x).requires_grad
        with torch.inference_mode():
            cka.gram(x)
        cka.gram(x)


def test_thinned_keeps_every_kth_layer_of_a_longer_side_of_each_map():
    short = [("m", f"a{i}", f"b{j}") for i in range(3) for j in range(3)]
    long = [("n", f"a{i}", f"b{j}") for i in range(7) for j in range(3)]
    table = pd.DataFrame(short + long, columns=["map", "layer_x", "layer_y"])
    kept = thinned(table, "map", most=3)
    assert len(kept) == 9 + 9
    assert kept.layer_x[kept["map"] == "n"].unique().tolist() == [
        "a0",
        "a3",
        "a6",
    ]
    assert kept.layer_y[kept["map"] == "n"].unique().tolist() == [
        "b0",
        "b1",
        "b2",
    ]
