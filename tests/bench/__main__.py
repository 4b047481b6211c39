"""Run every bench in turn."""

import torch

from tests.bench import (
    cka,
    features,
    nulls,
    probes,
    receptive,
    taps,
    training,
    verdicts,
)

if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    benches = (cka, nulls, probes, features, taps)
    benches += (receptive, training, verdicts)
    for bench in benches:
        bench.main()
