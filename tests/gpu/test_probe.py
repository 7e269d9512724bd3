"""What the probe says of real NVIDIA GPUs, beside what nvidia-smi says of them."""

import subprocess
from pathlib import Path

import pytest

from config.data import known_gpus
from domain.units import MIB
from probes.snapshot import probe

pytestmark = pytest.mark.gpu
QUERY = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]


def test_the_probe_agrees_with_nvidia_smi(tmp_path: Path):
    printed = subprocess.run(QUERY, capture_output=True, text=True, check=True).stdout
    theirs = [[field.strip() for field in line.split(",")] for line in printed.splitlines()]
    ours = [
        gpu
        for gpu in probe(root=Path("/"), models_dir=tmp_path, known_gpus=known_gpus()).gpus
        if gpu.vendor == "nvidia"
    ]
    assert [gpu.name for gpu in ours] == [name for name, _, _ in theirs]
    for gpu, (_, total_mib, driver) in zip(ours, theirs, strict=True):
        assert driver in (gpu.driver or "")
        if total_mib.isdigit():
            assert gpu.memory_total_bytes is not None
            assert abs(gpu.memory_total_bytes - int(total_mib) * MIB) < MIB
            assert 0 < (gpu.memory_free_bytes or 0) <= gpu.memory_total_bytes
