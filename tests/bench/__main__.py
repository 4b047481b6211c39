"""Run every bench in turn."""

import torch

from tests.bench import cka, features, probes

if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    cka.main()
    probes.main()
    features.main()
