"""What llama-server refuses, told apart from a dry run that failed: as recorded, and as the real one says."""

import sys
from pathlib import Path

import pytest
from gguf import GGUFWriter

from domain.errors import EngineError, EngineRefusedError, Refused
from domain.launches.plan import LlamaFlags
from launchers.base import Capabilities
from launchers.llama_cpp import dry_run
from launchers.llama_cpp.refusals import GAVE_UP, find_refusal, gave_up
from tests.conftest import ROOT

CAPTURE = ROOT / "tests" / "captures" / "llama.cpp" / "refusals-b10434.txt"
SAID = dict(part.partition("\n")[::2] for part in CAPTURE.read_text().split("# ")[1:])
FLAGS = LlamaFlags(gpu_layers=0, context_tokens=256, parallel=1, load_mode="mmap")


@pytest.mark.parametrize(
    ("case", "refused", "message"),
    [
        ("arch", Refused.MODEL, "does not know the architecture kimi-k3"),
        ("missing", Refused.MODEL, "key not found in model: llama.attention.layer_norm_rms_epsilon"),
        ("mistyped", Refused.MODEL, "epsilon has wrong type str but expected type f32"),
        ("short", Refused.MODEL, "llama.feed_forward_length has wrong array length; expected 2, got 1"),
        ("tensor", Refused.FILE, "tensor 'blk.1.attn_q.weight' not found"),
        ("dims", Refused.FILE, "tensor 'blk.1.attn_q.weight' has wrong shape"),
        ("extra", Refused.FILE, "wrong number of tensors; expected 22, got 21"),
        ("pq", Refused.FILE, "lacks the tensor type 142, which token_embd.weight has"),
        ("pre", Refused.MODEL, r"unknown pre-tokenizer type: 'brand-new\x1b[31m'"),
        ("tokmodel", Refused.MODEL, "unknown tokenizer: 'brand-new'"),
        ("cache", Refused.FLAGS, "K cache type q8_0 with block size 32 does not divide n_embd_head_k=80"),
        ("flash", Refused.FLAGS, "quantized V cache requires flash_attn to be enabled"),
    ],
)
def test_each_kind_of_refusal_is_told_in_the_engines_words(case: str, refused: Refused, message: str) -> None:
    error = find_refusal(SAID[case])
    assert error is not None
    assert gave_up(SAID[case])
    assert (error.refused, error.code) == (refused, "engine_refused")
    assert message in str(error)
    assert error.engine_output.startswith(
        ("llama_model_load: ", "gguf_init_from_", "llama_init_from_model: ")
    )
    assert "\x1b" not in error.in_full


@pytest.mark.parametrize(
    "line",
    [
        "llama_model_load: error loading model: unable to allocate CPU buffer",
        "llama_model_load: error loading model: std::bad_alloc",
        "gguf_init_from_file: failed to open GGUF file 'x' (Permission denied)",
        "llama_model_load: error loading model: make_cpu_buft_list: no CPU backend found",
    ],
)
def test_a_lack_of_this_machine_is_no_refusal(line: str) -> None:
    assert find_refusal(f"0.00.100.000 E {line}\n") is None


def test_what_comes_after_it_gave_up_does_not_count() -> None:
    """Then it tries again, with memory for the weights."""
    assert find_refusal(f"x {GAVE_UP}\n{SAID['arch']}") is None


def odd(folder: Path, program: str) -> Capabilities:
    path = folder / "llama-server"
    path.write_text(f"#!{sys.executable}\n{program}")
    path.chmod(0o755)
    options = "--cache-type-k --cache-type-v --flash-attn --fit -lv --ctx-size --batch-size --ubatch-size"
    return Capabilities("llama.cpp", str(path), "odd", flags=frozenset(options.split()))


def test_a_build_that_loses_its_last_lines_is_asked_again(tmp_path: Path) -> None:
    before = tmp_path / "before"
    program = (
        f"import pathlib, sys; before = pathlib.Path({str(before)!r})\n"
        "told = before.exists(); before.touch()\n"
        f"print({SAID['arch']!r} if told else 'starting', flush=True); sys.exit(1)"
    )
    with pytest.raises(EngineRefusedError, match="kimi-k3"):
        dry_run.run(LlamaFlags(context_tokens=256), odd(tmp_path, program), tmp_path / "x.gguf")


def test_a_build_that_refuses_is_left_at_once(tmp_path: Path) -> None:
    said = SAID["arch"].splitlines(keepends=True)
    caps = odd(tmp_path, f"import time; print({''.join(said)!r}, flush=True); time.sleep(600)")
    with pytest.raises(EngineRefusedError, match="kimi-k3"):
        dry_run.run(LlamaFlags(context_tokens=256), caps, tmp_path / "x.gguf", timeout_s=300)


@pytest.mark.parametrize(
    ("program", "how"),
    [
        ("import os; os.kill(os.getpid(), 11)", "was killed by SIGSEGV"),
        ("exit(3)", "exited 3 and printed no memory table"),
        (
            f"print('error loading model: std::bad_alloc'); print({GAVE_UP!r})",
            "could not try the model: .*std::bad_alloc",
        ),
    ],
)
def test_a_build_that_could_not_try_is_no_refusal(tmp_path: Path, program: str, how: str) -> None:
    with pytest.raises(EngineError, match=how) as raised:
        dry_run.run(LlamaFlags(context_tokens=256), odd(tmp_path, program), tmp_path / "x.gguf")
    assert not isinstance(raised.value, EngineRefusedError)


@pytest.mark.engine
def test_the_real_engine_refuses_an_architecture_that_it_does_not_know(
    engine: Capabilities, tmp_path: Path
) -> None:
    writer = GGUFWriter(tmp_path / "x.gguf", "newest-of-all")
    writer.add_block_count(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(EngineRefusedError) as raised:
        dry_run.run(FLAGS, engine, tmp_path / "x.gguf")
    assert raised.value.refused is Refused.MODEL
    assert str(raised.value) == "this build of llama-server does not know the architecture newest-of-all"
