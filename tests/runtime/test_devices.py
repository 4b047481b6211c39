import pytest
import torch

from helpers import models
from helpers.runtime import devices
from helpers.training import steps


@pytest.fixture
def cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_the_cpu_where_there_is_nothing_else(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert devices.pick() == torch.device("cpu")
    assert models.load("lab/vit_cls?random").device.type == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices.pick() == torch.device("mps")
    assert devices.name(devices.pick()) == "Apple GPU"
    assert steps.on_device(None) == torch.device("cpu")  # CUDA or nothing


def test_a_process_of_torchrun_has_the_gpu_of_its_rank(cuda, monkeypatch):
    current = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    assert devices.pick() == steps.on_device(None) == torch.device("cuda")
    for rank, gpu in (("0", 0), ("1", 1), ("2", 0)):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert devices.pick() == current[-1] == torch.device("cuda", gpu)


def test_a_device_that_is_not_here_is_refused():
    with pytest.raises(ValueError, match="no device 'cudax' here"):
        models.load("lab/vit_cls?random", "cudax")
    assert devices.named("cpu") == torch.device("cpu")


def test_gpus_are_named_as_the_driver_does(cuda, monkeypatch):
    assert devices.gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-5f,MIG-7a")
    assert devices.gpus() == ["GPU-5f", "MIG-7a"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,-1,6")
    assert devices.gpus() == ["3", "5"]
