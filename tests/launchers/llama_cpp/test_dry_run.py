"""llama-server's own word on memory: read from what builds print, asked of real and of odd ones."""

import sys
from pathlib import Path

import psutil
import pytest

from domain.errors import EngineError
from domain.launches.engine_build import EngineDevice
from domain.launches.plan import LlamaFlags
from domain.units import MIB
from launchers.base import Capabilities
from launchers.llama_cpp import dry_run
from launchers.llama_cpp.dry_run import DeviceUsage
from tests.conftest import ROOT

CAPTURES = ROOT / "tests" / "captures" / "llama.cpp"
FLAGS = LlamaFlags(gpu_layers=0, context_tokens=4096, parallel=1, load_mode="mmap+mlock")


def captured(name: str) -> str:
    return (CAPTURES / name).read_text()


def mib(name: str, model: int | None, context: int, compute: int, *, is_device: bool = False) -> DeviceUsage:
    model_bytes = None if model is None else model * MIB
    return DeviceUsage(name, model_bytes, context * MIB, compute * MIB, is_device)


@pytest.mark.parametrize("build", ["b10068", "b10434"])
def test_both_builds_are_understood(build: str) -> None:
    """gpt-oss-120b on two RPC devices of 24 and 8 GiB, the experts of 24 layers on the CPU."""
    usages = dry_run.parse_breakdown(captured(f"fit-moe-{build}.log"))
    assert [usage.name for usage in usages] == ["RPC0", "RPC1", "Host", "CPU_REPACK"]
    assert [usage.is_device for usage in usages] == [True, True, False, False]
    assert usages[0] == mib("RPC0", 7265, 469, 103, is_device=True)
    assert usages[2:] == (mib("Host", 688, 0, 95), mib("CPU_REPACK", 38728, 0, 0))


def test_a_box_without_gpus_has_host_rows_alone() -> None:
    usages = dry_run.parse_breakdown(captured("fit-cpu-b10434.log"))
    assert [usage.name for usage in usages] == ["Host", "CPU_REPACK"]


def test_only_the_first_table_counts() -> None:
    """A second one is of flags that the engine has made up."""
    said = captured("fit-moe-b10068.log")
    assert dry_run.parse_breakdown(said + captured("fit-cpu-b10434.log")) == dry_run.parse_breakdown(said)


def test_the_table_is_complete_when_another_line_follows() -> None:
    lines = captured("fit-cpu-b10434.log").splitlines(keepends=True)
    heading = next(number for number, line in enumerate(lines) if dry_run.HEADING in line)
    done = [dry_run.is_complete("".join(lines[: heading + more])) for more in (0, 1, 2, 3, 4)]
    assert done == [False, False, False, False, True]


def test_names_and_figures_of_cards_are_read() -> None:
    said = (
        f"x: | {dry_run.HEADING} | total free self model context compute unaccounted |\n"
        "x: |   - CUDA0 (RTX 3090) | 24576 = 23100 + ( 4763 =  3703 +    1024 +      36) +       -3287 |\n"
        "x: |   - Host             |                   1590 =   626 +     832 +     132                |\n"
    )
    assert dry_run.parse_breakdown(said) == (
        mib("CUDA0", 3703, 1024, 36, is_device=True),
        mib("Host", 626, 832, 132),
    )


def test_repacked_weights_are_unknown_to_llama_fit_params() -> None:
    usages = dry_run.parse_fit_print("noise\nCUDA0 4403 1024 290 \nHost 281 0 40 \n")
    assert usages == (mib("CUDA0", 4403, 1024, 290, is_device=True), mib("Host", None, 0, 40))


def test_a_head_is_printed_before_its_model_and_both_are_counted() -> None:
    """The table of the head has the model's own weights once more."""
    log = captured("start-mtp.log")
    assert dry_run.parse_breakdown(log, with_draft=True) == (mib("Host", 62, 204, 106),)
    first_table = log[: log.index("creating MTP")].split(dry_run.HEADING)[1]
    assert not dry_run.is_complete(dry_run.HEADING + first_table, tables=2)
    assert dry_run.is_complete(log, tables=2)


@pytest.mark.engine
def test_the_real_engine_prints_its_memory_and_is_ended(engine: Capabilities, smollm2: Path) -> None:
    report = dry_run.run(FLAGS, engine, smollm2, timeout_s=120)
    assert [child for child in psutil.Process().children() if "llama-server" in child.name()] == []
    assert report.program == "llama-server"
    assert report.devices[0].name == "Host"
    assert report.devices[0].context_bytes == 90 * MIB  # 30 layers x 4096 x 3 heads x 64 x 2 (K, V) x 2 bytes


PLAIN = LlamaFlags(context_tokens=4096)
OPTIONS = """
--cache-type-k --cache-type-v --flash-attn --fit -lv --ctx-size --batch-size --ubatch-size
"""
PLAIN_FLAGS = frozenset(OPTIONS.split())


def odd(folder: Path, text: str, name: str = "llama-server") -> Capabilities:
    """A build that has the options of today, and prints something else."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return Capabilities("llama.cpp", str(path), "odd", flags=PLAIN_FLAGS)


def test_a_build_that_prints_no_table_is_an_error_with_a_cause(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no memory table"):
        dry_run.run(PLAIN, odd(tmp_path, "print('hello')"), tmp_path / "replica.gguf", timeout_s=120)


def test_a_build_without_fit_is_not_started(tmp_path: Path) -> None:
    caps = odd(tmp_path, f"open({str(tmp_path / 'started')!r}, 'w')")
    old = Capabilities(caps.engine, caps.path, flags=caps.flags - {"--fit"})
    with pytest.raises(EngineError, match="no --fit"):
        dry_run.run(PLAIN, old, tmp_path / "replica.gguf")
    assert not (tmp_path / "started").exists()


def test_a_build_that_hangs_is_given_up(tmp_path: Path) -> None:
    caps = odd(tmp_path, "import time\ntime.sleep(60)")
    with pytest.raises(EngineError, match=r"within 0\.5 s"):
        dry_run.run(PLAIN, caps, tmp_path / "replica.gguf", timeout_s=0.5)


def test_a_gpu_driver_keeps_its_addresses() -> None:
    gpu = Capabilities("llama.cpp", "x", devices=(EngineDevice("CUDA0"),))
    assert dry_run._address_space_bytes(gpu) is None
    remote = Capabilities("llama.cpp", "x", devices=(EngineDevice("RPC0"),))
    assert dry_run._address_space_bytes(remote) == dry_run.ADDRESS_SPACE_BYTES


def test_llama_fit_params_answers_where_the_server_does_not(tmp_path: Path) -> None:
    caps = odd(tmp_path, "print('hello')")
    usage = "\\n".join(f"{name} X                 something" for name in sorted(PLAIN_FLAGS))
    odd(
        tmp_path,
        f"import sys\nsaid = 'CUDA0 4403 1024 290 \\nHost 281 0 40 '\n"
        f"print('{usage}' if '--help' in sys.argv else said)",
        "llama-fit-params",
    )
    report = dry_run.run(PLAIN, caps, tmp_path / "replica.gguf", timeout_s=120)
    assert report.program == "llama-fit-params"
    assert [usage.name for usage in report.devices] == ["CUDA0", "Host"]


def test_a_dry_run_locks_no_memory(engine: Capabilities) -> None:
    argv = dry_run.build_command(FLAGS, engine, Path("replica.gguf"))
    assert argv is not None
    assert "mmap" in argv or "mlock" not in " ".join(argv)
    assert "mmap+mlock" not in argv
    assert argv[argv.index("--fit") + 1] == "on"
