"""Run every bench in turn."""

import torch

from tests.bench import cka, features, probes, receptive, training, verdicts

if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    for bench in (cka, probes, features, receptive, training, verdicts):
        bench.main()
