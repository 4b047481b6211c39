"""Two processes measure what one does."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist

from helpers import cka, features, images, models, probes
from helpers.runtime import parallel

BANKS = {"rows": 40, "sums": 500}  # images; of few the rows are kept
PENALTIES = [0.1, 10.0]


def bank():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(500) % 3
    return torch.randn(500, 10, generator=generator) + y[:, None] + 5, y


def measure():
    """Measure as a user does; nothing here knows of other processes."""
    model = models.load("lab/vit_cls?random", "cpu")
    train = images.load("wardrobe", "train", 61)
    test = images.load("wardrobe", "test", 26)
    maps = cka.measure(model, None, test, "out", batch_size=4)
    large = cka.measure(model, None, test, "norm,embed", "all", 4, 8)
    found = probes.layerwise(
        model, train, test, "norm", ["cls"], ["knn", "ridge"], ["garment"]
    )
    return {
        "cka": maps.cka,
        "left out": maps.leave_one_out,
        "large HSIC batches": large.leave_one_out,
        "features": features.extract(model, test, "norm")["norm"],
        "right": found.right,
    }


def in_a_process(folder):
    dist.init_process_group("gloo")
    found = measure()
    x, y = bank()
    for name, total in {**BANKS, "fewer images than processes": 1}.items():
        mine = parallel.share(total)
        part = probes.RidgeStatistics([3])
        for rows in torch.split(torch.arange(500)[mine], 7):
            if len(rows):
                part.update(x[rows], y[rows])
        assert part.all_reduce().images == total
        if name in BANKS:
            found[name] = part.solve().scores(x, PENALTIES).numpy()
    np.savez(Path(folder, f"{dist.get_rank()}.npz"), **found)
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path, root):
    call = "from tests.runtime.test_parallel import in_a_process\n"
    call += f"in_a_process({str(tmp_path)!r})\n"
    (tmp_path / "run.py").write_text(call)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node=2", str(tmp_path / "run.py")),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    expected, (x, y) = measure(), bank()
    for name, n in BANKS.items():
        fit = probes.RidgeStatistics([3]).update(x[:n], y[:n]).solve()
        expected[name] = fit.scores(x, PENALTIES).numpy()
    for rank in (0, 1):
        found = np.load(tmp_path / f"{rank}.npz")
        assert set(found) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(
                found[name], value, rtol=1e-4, atol=1e-5, err_msg=name
            )


@pytest.mark.parametrize(("total", "unit"), [(10, 1), (10, 4), (3, 1), (0, 1)])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_shares_are_all_images_in_order(monkeypatch, total, unit, size):
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: size)
    seen = []
    for rank in range(size):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        mine = parallel.share(total, unit)
        assert mine.start % unit == 0
        seen += range(total)[mine]
    assert seen == list(range(total))


def test_a_single_process_has_all():
    assert parallel.share(7) == slice(0, 7)
    assert parallel.gather("x") == ["x"]
    one = probes.RidgeStatistics([2])
    one.update(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1]))
    assert one.all_reduce().images == 2
    with pytest.raises(ValueError, match="2 features, but 1 before"):
        one.update(torch.zeros(1, 2), torch.tensor([0]))
