"""How well targets can be read from every layer of a model, in one pass.

Features are pooled inside the forward pass, all layers and token choices at
once; then probes are fitted to them, with k or the penalty chosen on held-out
images of the bank. See `helpers.probes`, the way in.

A probe says what a simple reader finds in a layer, not what the network uses.
Do not compare layers of different widths without a control, and choose a
layer by the column `held_out`, never by its accuracy on the test images.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from helpers.features.arguments import checked
from helpers.probes.checks import ConstantFeaturesError
from helpers.probes.selection import SETTINGS, Readout, check, readouts
from helpers.probes.targets import check_sets, labels
from helpers.runtime.errors import unknown

if TYPE_CHECKING:
    import pandas as pd

    from helpers.features.layer_selection import Tokens
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel


Settings = Mapping[str, Sequence[float]]
NORMS = ("raw", "final")


@dataclass(frozen=True, eq=False)
class Layerwise:
    """How well targets can be read from the layers of a model.

    Attributes:
        table: one row per layer, token choice, probe and target. `accuracy`
            on the test images lies between `low` and `high` with 95 %
            confidence; `setting` is the chosen k or penalty, `held_out` the
            accuracy on the images of the bank that it was chosen by,
            `converged` whether the solver reached the solution. How it was
            measured is in `attrs`.
        right: (rows, n) whether each test image was classified correctly, 0
            or 1; NaN in the rows of constant features.
        last: token choice -> features of the last layer, (m, width) of the
            bank and (n, width) of the test images.
    """

    table: pd.DataFrame
    right: NDArray[np.float64]
    last: dict[Tokens, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def correct(self, **where: Tokens) -> NDArray[np.float64]:
        """Give out which test images were right, for paired comparisons.

        Args:
            **where: column of the table = value; `correct(tokens="cls",
                probe="knn", target="class")` has one column per layer.

        Returns:
            (n, chosen rows), the rows in the order of the table.

        Raises:
            ValueError: no such column, or no row with such a value.
        """
        chosen = np.ones(len(self.table), bool)
        for column, value in where.items():
            if column not in self.table:
                raise unknown("column", column, map(str, self.table))
            valid = dict.fromkeys(self.table[column])
            if value not in valid:
                raise unknown(column, str(value), map(str, valid))
            chosen &= (self.table[column] == value).to_numpy()
        return self.right[chosen].T


@checked
def layerwise(
    model: VisionModel,
    train: Images,
    test: Images,
    layers: str = "out",
    tokens: Sequence[Tokens] = ("cls", "mean", "patches"),
    probes: Sequence[str] = ("knn", "ridge"),
    targets: Sequence[str] = ("class",),
    settings: Settings | None = None,
    batch_size: int = 256,
    seed: int = 0,
    norm: str = "raw",
) -> Layerwise:
    """Probe the layers of a model, in one pass over each set of images.

    Features are pooled inside the forward pass.

    Args:
        model: the model.
        train: the bank that probes are fitted to.
        test: the images they are tested on; nothing is chosen by these.
        layers: which layers, see `helpers.features.names`.
        tokens: which tokens, see `helpers.features.record`; several at once.
        probes: some of `knn`, `ridge`, `logistic`.
        targets: categorical targets of the images; several at once.
        settings: probe -> values of k or the penalty to choose from, on
            held-out images of the bank; see `readouts` for the defaults.
        batch_size: images of a forward pass.
        seed: which images of the bank are held out.
        norm: `raw` tokens, or block outputs after the `final` norm of the
            model, see `helpers.features.after_norm`.

    Returns:
        The table, and which test images were right.

    Raises:
        ValueError: unknown layers, tokens, probes, norm or targets, a model
            without a final norm, images in both sets, classes that differ
            between them or that have no training image, k above the size of
            the bank, NaN features.

    Warns:
        UserWarning: layers with constant features, whose rows are NaN.
        NotConverged: a solver ran out of steps.
    """
    # Here, so that a machine that only trains can import the other probes.
    import pandas as pd

    from helpers import features
    from helpers.features.layer_selection import depth

    start = time.perf_counter()
    for name in (*probes, *(settings or {})):
        check(name)
    if norm not in NORMS:
        raise unknown("norm", norm, NORMS)
    read = features.after_norm(model) if norm == "final" else model
    _check_tokens(tokens)
    check_sets(train, test)
    truth = {t: labels(train, test, t) for t in targets}
    seen = features.pooled(read, train, layers, tokens, batch_size)
    asked = features.pooled(read, test, layers, tokens, batch_size)
    rows, right = [], []
    last: dict[Tokens, tuple[Tensor, Tensor]] = {}
    for (layer, choice), bank in seen.items():
        last[choice] = bank, asked[layer, choice]
        for probe in probes:
            found = _read(
                bank.to(model.device),
                {t: known for t, (known, _) in truth.items()},
                asked[layer, choice].to(model.device),
                probe,
                (settings or {}).get(probe),
                seed,
                f"{layer} ({choice})",
            )
            for target, (_, asking) in truth.items():
                row, correct = _judged(found.get(target), asking)
                place = {"layer": layer, "depth": depth(model, layer)}
                kind = {"tokens": choice, "probe": probe, "target": target}
                rows.append(place | kind | row)
                right.append(correct)
    table = pd.DataFrame(rows).rename(columns={"value": "accuracy"})
    table.attrs.update(
        model=model.spec,
        images=test.spec,
        bank=len(train),
        test=len(test),
        layers=layers,
        norm=norm,
        settings={
            p: tuple((settings or {}).get(p, SETTINGS[p])) for p in probes
        },
        device=str(model.device),
        seconds=time.perf_counter() - start,
    )
    return Layerwise(table, np.stack(right), last)


def _read(
    bank: Tensor,
    labels: dict[str, Tensor],
    queries: Tensor,
    probe: str,
    settings: Sequence[float] | None,
    seed: int,
    where: str,
) -> dict[str, Readout]:
    """Fit as `readouts`, but only warn of constant features."""
    try:
        return readouts(bank, labels, queries, probe, settings, seed=seed)
    except ConstantFeaturesError:
        warnings.warn(
            f"{where} is the same for all images: its rows are NaN",
            stacklevel=3,
        )
        return {}


def _judged(
    found: Readout | None, labels: Tensor
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Return what a row says beyond its place, and which images are right."""
    from helpers import intervals

    right = np.full(len(labels), np.nan)
    chosen = {"setting": np.nan, "held_out": np.nan, "converged": True}
    if found:
        right = (found.scores.argmax(1).cpu() == labels).double().numpy()
        chosen = {
            "setting": found.setting,
            "held_out": found.tried.get(found.setting, np.nan),
            "converged": found.converged,
        }
    return vars(intervals.share(right)) | chosen, right


def _check_tokens(tokens: Sequence[Tokens]) -> None:
    from helpers.features.layer_selection import check_tokens

    for choice in tokens:
        if check_tokens(choice) in ("all", "each"):
            raise ValueError(
                f"tokens={choice!r} is not one vector per image; valid: "
                "'cls', 'mean', 'patches' or a position"
            )
