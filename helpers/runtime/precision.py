"""How exact a device computes: the rounding of a sum, and full precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def rounding(dtype: torch.dtype) -> float:
    """Relative spread that a constant may show after rounding."""
    work = torch.promote_types(dtype, torch.float32)
    return max(8 * torch.finfo(work).eps, torch.finfo(dtype).eps)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Keep TF32, bfloat16 and autocast out; restore the caller's choice."""
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        mkldnn = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
        backends = (torch.backends.cuda.matmul, mkldnn)
        before = [backend.fp32_precision for backend in backends]
        full = [p if p in ("ieee", "none") else "ieee" for p in before]

        def choose(precisions: list[str]) -> None:
            for backend, precision in zip(backends, precisions, strict=True):
                if backend.fp32_precision != precision:
                    backend.fp32_precision = precision

    else:  # torch < 2.9
        before, full = [torch.get_float32_matmul_precision()], ["highest"]

        def choose(precisions: list[str]) -> None:
            torch.set_float32_matmul_precision(precisions[0])

    choose(full)
    try:
        if torch.is_autocast_enabled(device.type):
            with torch.autocast(device.type, enabled=False):
                yield
        else:
            yield
    finally:
        choose(before)
