"""The extra that ``make venv`` installs is the newest build that does not die on the CPU."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

HASWELL = "fpu sse4_2 avx f16c fma avx2 bmi2"
ZEN_4 = f"{HASWELL} avx512f avx512vbmi avx512_vnni avx512_bf16"


@pytest.mark.parametrize(
    ("flags", "extra"),
    [
        pytest.param(HASWELL, "llama-cpp", id="AVX2 alone"),
        pytest.param(f"{HASWELL} avx_vnni", "llama-cpp", id="Alder Lake, N100: no AVX-512"),
        pytest.param(ZEN_4, "llama-cpp", id="Zen 4: no AVX-VNNI"),
        pytest.param(f"{ZEN_4} avx_vnni", "llama-cpp-avx-vnni", id="Zen 5"),
        pytest.param("", "llama-cpp", id="a CPU of another kind"),
    ],
)
def test_the_newest_build_is_for_a_cpu_that_has_all_it_was_built_for(
    tmp_path: Path, flags: str, extra: str
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: none\n")
    command = [ROOT / "scripts/engine-extra", cpuinfo]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"{extra}\n"
