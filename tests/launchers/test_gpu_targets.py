"""For which GPUs a build was made: real ELF files, linked here against a library of that name."""

import subprocess
from pathlib import Path

import pytest

from launchers import gpu_targets
from launchers.gpu_targets import Build

# What clang's offload bundler writes before each code object (of llama.cpp's HIP build, roc-obj-ls)
BUNDLE = b"__CLANG_OFFLOAD_BUNDLE__hipv4-amdgcn-amd-amdhsa--gfx1100\0hipv4-amdgcn-amd-amdhsa--gfx1151\0"


def linked(folder: Path, name: str, runtime: str) -> Path:
    """A shared library ``name`` that needs ``runtime``."""
    folder.mkdir(parents=True, exist_ok=True)
    needed = folder / "libneeded.so"
    for target, options in (
        (needed, [f"-Wl,-soname,{runtime}"]),
        (folder / name, ["-Wl,--no-as-needed", needed]),
    ):
        command = ["gcc", "-shared", "-o", target, "-x", "c", "/dev/null", "-x", "none", *options]
        subprocess.run(command, check=True)
    return folder / name


@pytest.fixture
def server(tmp_path: Path) -> Path:
    binary = tmp_path / "bin" / "llama-server"
    binary.parent.mkdir()
    binary.write_bytes(b"\x7fELF")
    return binary


def test_a_cuda_build_needs_the_runtime_it_was_linked_with(server: Path) -> None:
    linked(server.parent, "libggml-cuda.so", "libcudart.so.12")
    assert gpu_targets.read_build(server) == Build(cuda="12")


def test_libraries_may_be_in_a_folder_beside(server: Path) -> None:
    linked(server.parent.parent / "lib", "libggml-cuda.so.0", "libcudart.so.13")
    assert gpu_targets.read_build(server).cuda == "13"


def test_a_hip_build_names_its_targets(server: Path) -> None:
    (server.parent / "libggml-hip.so").write_bytes(b"\x7fELF" + BUNDLE)
    assert gpu_targets.read_build(server).hip_targets == ("gfx1100", "gfx1151")


def test_a_build_in_one_file_is_read_itself(server: Path) -> None:
    server.write_bytes(b"\x7fELF" + BUNDLE)
    assert gpu_targets.read_build(server).hip_targets == ("gfx1100", "gfx1151")


def test_vllm_has_the_cuda_of_its_torch(tmp_path: Path) -> None:
    """The form of torch 2.9's version.py."""
    version = tmp_path / "lib/python3.12/site-packages/torch/version.py"
    version.parent.mkdir(parents=True)
    version.write_text(
        "__version__ = '2.9.0+cu128'\ndebug = False\ncuda: Optional[str] = '12.8'\nhip = None\n"
    )
    assert gpu_targets.read_build(tmp_path / "bin" / "vllm") == Build(cuda="12.8")
    version.write_text("cuda: Optional[str] = None\n")
    assert gpu_targets.read_build(tmp_path / "bin" / "vllm") == Build()


def test_what_can_not_be_read_is_unknown(tmp_path: Path, server: Path) -> None:
    assert gpu_targets.read_build(tmp_path / "gone") == Build()
    (server.parent / "libggml-hip.so").write_bytes(b"")
    assert gpu_targets.read_build(server) == Build()
