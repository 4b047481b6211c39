"""Time the CKA engine against a bare forward pass and two other packages.

`make bench` prints, measured in one process with the contenders taking turns:
the cost of a CKA as a ratio to the forward pass that it needs, the memory it
adds, and its largest error against a float64 transcription of the papers.

One thread, and CPU seconds rather than wall time on a CPU, so that other work
on the machine disturbs little; wall time on a GPU. The other packages hook
only module outputs: in place of `mid`, a sum that no module returns, they get
the branch before it (`drop_path1`), a tensor of the same shape.
"""

import contextlib
import copy
import gc
import io
import resource
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass

import cka as pytorch_cka
import numpy as np
import torch
import torch_cka
from torch import Tensor, nn

from helpers import cka, features, models
from tests.cka.test_cka import oracle, related

SUBLAYERS = "ln1,attn,mid,ln2,fc1,act,fc2,out"
MODULES = ("norm1", "attn", "drop_path1", "norm2", "mlp.fc1", "mlp.act")
MODULES = (*MODULES, "mlp.fc2", "")
CONTENDERS = ("ours", "pytorch-cka", "torch-cka")
SLOW = "(too slow)"


@dataclass(frozen=True)
class Workload:
    """What is compared: two models, or one with itself."""

    title: str
    spec: str
    twin: bool
    selection: str
    batch: int
    size: int
    batches: int
    repeats: int
    goal: float | None


WORKLOADS = {
    "blocks": Workload(
        "two ViT-S/16, 12 blocks each, 224 px, batch 32",
        *("vit_small_patch16_224?random", True, "out", 32, 224, 1, 3, 1.05),
    ),
    "sublayers": Workload(
        "ViT-Ti/16 with itself, 96 sublayers, 224 px, batch 64",
        *("vit_tiny_patch16_224?random", False, SUBLAYERS),
        *(64, 224, 1, 3, 1.5),
    ),
    "lab": Workload(
        "lab ViT with itself, 96 sublayers, 64 px, batch 64",
        *("lab/vit_cls?random", False, SUBLAYERS, 64, 64, 4, 3, None),
    ),
}


@dataclass(eq=False)
class Batches:
    """Images in memory, as each contender wants to be given them."""

    pixels: Tensor
    size: int
    wrap: bool = False
    spec: str = "noise"
    split: str = "test"
    dataset: str = "noise"

    def __len__(self) -> int:
        return len(self.pixels) // (self.size if self.wrap else 1)

    def __iter__(self):
        parts = self.pixels.split(self.size)
        return iter([(p,) for p in parts] if self.wrap else parts)

    def batches(self, *seen, batch_size):
        for i in range(0, len(self.pixels), batch_size):
            part = self.pixels[i : i + batch_size]
            yield np.arange(i, i + len(part)), [part] * len(seen)


@torch.no_grad()
def theirs(name: str, x: nn.Module, y: nn.Module, hooks, pixels, size):
    """Run another package through its public interface."""
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "pytorch-cka":
            (got,) = pytorch_cka.compute_cka(
                *(x, y, Batches(pixels, size)),
                layers=hooks,
                device=str(pixels.device),
                progress=False,
            )
            return got.cpu().numpy()
        # torch-cka never removes its hooks, so it gets models of its own.
        x, y = copy.deepcopy(x), copy.deepcopy(y)
        run = torch_cka.CKA(
            *(x, y, "x", "y", hooks, hooks), device=str(pixels.device)
        )
        run.compare(Batches(pixels, size, wrap=True))
        run.model1_features = run.model2_features = {}
        return run.export()["CKA"].numpy()


def contenders(work: Workload, device: str, batches: int):
    """Build the calls to be timed: name -> function."""
    x = models.load(work.spec, device=device)
    y = models.load(work.spec, device=device) if work.twin else x
    torch.manual_seed(0)
    shape = (batches * work.batch, 3, work.size, work.size)
    pixels = torch.randn(shape, device=device)
    parts = MODULES if work.selection == SUBLAYERS else ("",)
    hooks = [f"blocks.{i}.{p}".rstrip(".") for i in range(12) for p in parts]
    assert len(hooks) == len(features.names(x, work.selection))

    def bare():
        for part in pixels.split(work.batch):
            x(part)
            if work.twin:
                y(part)

    def ours():
        images = Batches(pixels, work.batch)
        cka.compare(x, y, images, work.selection, batch_size=work.batch)

    calls = {"bare forward": bare, "ours": ours}
    for name in CONTENDERS[1:]:
        calls[name] = lambda name=name: theirs(
            name, x.module, y.module, hooks, pixels, work.batch
        )
    return calls


def clock(device: str) -> float:
    """CPU seconds, or wall seconds once the GPU is done."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def ratios(work: Workload, device: str):
    """Cost of each contender over the bare pass, both in a quiet round."""
    batches = work.batches if device == "cpu" else 8 * work.batches
    calls = contenders(work, device, batches)
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(work.repeats + 1):
        for name, call in calls.items():
            if name == "torch-cka" and (turn != 1 or not work.twin):
                continue  # once, and not on 96 x 96 pairs of layers
            start = clock(device)
            call()
            gc.collect()
            if turn:  # the first round warms up
                spent[name].append(clock(device) - start)
    bare = min(spent.pop("bare forward"))
    return bare / batches, {k: min(v) / bare for k, v in spent.items() if v}


def memory(work: str, name: str, batches: int) -> float:
    """MiB that a contender adds to the peak of a bare pass (new process)."""
    command = [
        sys.executable,
        "-m",
        "tests.bench.cka",
        work,
        name,
        str(batches),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def growth(work: str, name: str, batches: int) -> float:
    """Peak memory of this process beyond a bare pass, in MiB."""
    calls = contenders(WORKLOADS[work], "cpu", batches)
    calls["bare forward"]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    calls[name]()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (after - before) / 1024


class Playback(nn.Module):
    """A model whose layers put out what it is given: (n, layers, width)."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.taps = nn.ModuleList(nn.Identity() for _ in range(count))

    def forward(self, x: Tensor) -> None:
        for tap, part in zip(self.taps, x.unbind(1), strict=True):
            tap(part)


def errors(device: str):
    """Largest error on hard layers: case -> contender -> number or words."""
    plain = np.stack([np.stack(b, 1) for b in related(32, (4000,) * 4, 3)])
    offset = np.random.default_rng(9).normal(size=plain.shape[2:])
    spread = plain.std(axis=(0, 1, 3))[:, None]
    far = plain + 60 * spread * np.sign(offset)
    still = plain.copy()
    still[:, :, 2] = far[0, 0, 2]
    cases = {
        "ordinary": plain,
        "offset 60 spreads": far,
        "scale 2^-7": plain * 2.0**-7,
        "both": far * 2.0**-7,
        "one constant layer": still,
    }
    hooks = [f"taps.{i}" for i in range(4)]
    table = {}
    for case, each in cases.items():
        x = torch.tensor(each, dtype=torch.float32, device=device)
        listed = [list(b.unbind(1)) for b in x]
        exact = [[f.cpu().numpy() for f in b] for b in listed]
        want = oracle(exact, exact)
        if case == "one constant layer":
            want[2] = want[:, 2] = np.nan
        row = table[case] = {}
        for name in CONTENDERS:
            try:
                got = measure(name, listed, x, hooks)
            except (AssertionError, RuntimeError) as error:
                row[name] = f"fails: {error}".splitlines()[0][:40]
                continue
            known = np.isfinite(want)
            row[name] = f"{np.abs(got - want)[known].max():.1e}"
            if not known.all():
                found = np.unique(got[~known].round(2))
                row[name] += f", there {', '.join(map(str, found[:3]))}"
    return table


def measure(name, listed, x, hooks):
    """CKA of the given features, as a contender computes it."""
    if name == "ours":
        engine = cka.MinibatchCKA()
        for batch in listed:
            engine.update(batch)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return engine.compute().cka
    model = Playback(len(hooks)).to(x.device)
    return theirs(name, model, model, hooks, x.flatten(0, 1), x.shape[1])


def show(title: str, rows: dict[str, dict[str, str]]) -> None:
    """Print one table, contenders across."""
    print(f"\n{title}")
    print(f"{'':58}" + "".join(f"{name:>28}" for name in CONTENDERS))
    for name, row in rows.items():
        print(f"{name:58}" + "".join(f"{row[c]:>28}" for c in CONTENDERS))
    sys.stdout.flush()


def main() -> None:
    """Print all tables."""
    print("Gram matrices: float32, TF32 off; HSIC: float64")
    # First, as a process inherits the peak of the one that starts it.
    rows = {}
    for work, count in (("sublayers", 1), ("lab", 4), ("lab", 64)):
        rows[f"{WORKLOADS[work].title}: {count} batches"] = {
            name: SLOW
            if name == "torch-cka"
            else f"{memory(work, name, count):.0f} MiB"
            for name in CONTENDERS
        }
    show("cpu: peak memory beyond a bare forward pass", rows)
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    for device in devices:
        rows = {}
        for work in WORKLOADS.values():
            bare, found = ratios(work, device)
            goal = f" (goal {work.goal})" if work.goal else ""
            shown = {k: f"{v:.3f}" for k, v in found.items()}
            rows[work.title + goal] = dict.fromkeys(CONTENDERS, SLOW) | shown
            print(f"{device}: {work.title}: bare pass {bare:.3f} s a batch")
        show(f"{device}: times the bare forward pass", rows)
        show(f"{device}: largest error against float64", errors(device))


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print(growth(sys.argv[1], sys.argv[2], int(sys.argv[3])))
