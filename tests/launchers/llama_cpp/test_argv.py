"""Plans become command lines in the words of the build at hand, and command lines become plans."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import EngineError, UsageError
from domain.launches.plan import Confidence, LlamaFlags, Plan, Speed, VllmFlags
from domain.models.model import Source, WeightFile, Weights
from launchers import llama_cpp
from launchers.base import Capabilities
from launchers.llama_cpp.help import parse_help
from tests.launchers.conftest import CAPTURES


def build(name: str) -> Capabilities:
    found = parse_help((CAPTURES / "llama.cpp" / f"help-{name}.txt").read_text())
    values = {name: option.values for option in found if option.values for name in option.names}
    flags = frozenset(name for option in found for name in option.names)
    return Capabilities("llama.cpp", "/opt/llama/llama-server", name, flags, values)


NEWEST, NEW = build("b11434"), build("b10434")
# As b10068 is: no --load-mode, the switches it replaced are there.
OLD = replace(NEW, flags=NEW.flags - {"--load-mode", "-lm"})
ALL_SET = LlamaFlags(
    gpu_layers=25,
    tensor_split=(3.0, 1.5),
    split_mode="layer",
    main_gpu=1,
    devices=("Vulkan0", "Vulkan1"),
    rpc=("127.0.0.1:15151",),
    overrides=(("blk\\.1\\..*exps", "CPU"), ("output", "Vulkan1")),
    cpu_moe=True,
    n_cpu_moe=7,
    context_tokens=32768,
    parallel=2,
    kv_unified=False,
    cache_type_k="q8_0",
    cache_type_v="q8_0",
    flash_attention="on",
    batch=1024,
    ubatch=256,
    threads=7,
    threads_batch=8,
    swa_full=True,
    repack=False,
    cache_ram_mib=0,
    ctx_checkpoints=4,
    load_mode="mmap+mlock",
    kv_offload=False,
    mmproj="/models/mmproj.gguf",
    mmproj_offload=False,
    draft_model="/models/draft.gguf",
    draft_gpu_layers=12,
    draft_devices=("Vulkan0",),
    draft_cache_type_k="q8_0",
    draft_cache_type_v="q8_0",
    draft_max=5,
    speculative=("draft-simple",),
    fit=False,
    jinja=True,
    extra=("--top-k", "40"),
    reasoning_format="auto",
)


@pytest.mark.parametrize("caps", [NEWEST, NEW, OLD], ids=["b11434", "b10434", "old"])
def test_every_field_is_passed_and_parsed_again(caps: Capabilities) -> None:
    argv = llama_cpp.arguments(ALL_SET, caps)
    assert llama_cpp.parse(argv) == ALL_SET
    assert {word for word in argv if word.startswith("--")} <= caps.flags | {"--top-k"}


def test_what_a_plan_leaves_open_is_left_to_the_engine_except_the_fit() -> None:
    argv = llama_cpp.arguments(LlamaFlags(), NEWEST)
    assert argv[-2:] == ("--fit", "off")
    assert "--ctx-size" not in argv
    assert "--threads" not in argv


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("mmap+mlock", ("--mlock",)),
        ("mlock", ("--no-mmap", "--mlock")),
        ("none", ("--no-mmap",)),
        ("dio", ("--direct-io",)),
        ("mmap", ()),
    ],
)
def test_an_older_build_gets_the_switches_that_load_mode_replaced(mode: str, words: tuple[str, ...]) -> None:
    argv = llama_cpp.arguments(LlamaFlags(load_mode=mode), OLD)
    assert tuple(word for word in argv if "lock" in word or "mmap" in word or "direct" in word) == words
    assert llama_cpp.arguments(LlamaFlags(load_mode=mode), NEWEST)[-2:] == ("--load-mode", mode)


@pytest.mark.parametrize(
    ("flags", "lacks"),
    [
        (LlamaFlags(n_cpu_moe=3), "--n-cpu-moe"),
        (LlamaFlags(kv_unified=False), "--no-kv-unified"),
        (LlamaFlags(load_mode="mmap+mlock"), "--mlock"),
        (LlamaFlags(split_mode="tensor"), "tensor"),
    ],
)
def test_a_flag_that_the_plan_needs_and_the_build_lacks_is_named(flags: LlamaFlags, lacks: str) -> None:
    gone = {"--n-cpu-moe", "-ncmoe", "--no-kv-unified", "-no-kvu", "--load-mode", "-lm", "--mlock"}
    values = {**NEW.values, "--split-mode": ("none", "layer", "row")}
    poor = replace(NEW, flags=NEW.flags - gone, values=values)
    with pytest.raises(EngineError, match=lacks) as failed:
        llama_cpp.arguments(flags, poor)
    assert failed.value.cause == "flag_missing"


def test_a_build_without_reasoning_format_is_not_given_it() -> None:
    older = replace(NEW, flags=NEW.flags - {"--reasoning-format"})
    wanted = LlamaFlags(reasoning_format="auto")
    assert llama_cpp.arguments(wanted, NEW)[-2:] == ("--reasoning-format", "auto")
    assert "--reasoning-format" not in llama_cpp.arguments(wanted, older)


def test_a_build_without_a_feature_has_nothing_to_switch_off() -> None:
    poor = replace(NEW, flags=NEW.flags - {"--fit", "-fit", "--cache-ram", "-cram"})
    argv = llama_cpp.arguments(LlamaFlags(cache_ram_mib=0, fit=False), poor)
    assert not {"--fit", "--cache-ram"} & set(argv)


@pytest.mark.parametrize(
    ("typed", "field", "value"),
    [
        ("-ngl all", "gpu_layers", 999),
        ("-ngl auto", "gpu_layers", None),
        ("-ngl -1", "gpu_layers", None),
        ("--n-gpu-layers=12", "gpu_layers", 12),
        ("--n_gpu_layers 12", "gpu_layers", 12),
        ("-ts 3/1", "tensor_split", (3.0, 1.0)),
        ("-c 0", "context_tokens", None),
        ("-np -1", "parallel", None),
        ("-cram -1", "cache_ram_mib", -1),
        ("-kvu", "kv_unified", True),
        ("-no-kvu", "kv_unified", False),
        ("-nkvo", "kv_offload", False),
        ("-nr", "repack", False),
        ("-fit off", "fit", False),
        ("-c 4096", "fit", True),
        ("--mlock", "load_mode", "mmap+mlock"),
        ("--mlock --no-mmap", "load_mode", "mlock"),
        ("--no-mmap --mlock", "load_mode", "mlock"),
        ("-md draft.gguf", "draft_model", "draft.gguf"),
        ("-ot exps=CPU", "overrides", (("exps", "CPU"),)),
        ("-ot blk.(1|2)=CPU,a=b=RPC0", "overrides", (("blk.(1|2)", "CPU"), ("a=b", "RPC0"))),
        ("-ot a=CPU -c 1 -ot b=CPU,c=RPC0", "overrides", (("a", "CPU"), ("b", "CPU"), ("c", "RPC0"))),
        ("--temp 0.2 -v", "extra", ("--temp", "0.2", "-v")),
        ("-dev none", "devices", ("none",)),
        ("-c=4096", "context_tokens", 4096),
        ("--control-vector-layer-range=1 2", "extra", ("--control-vector-layer-range", "1", "2")),
    ],
)
def test_what_an_owner_types_is_parsed(typed: str, field: str, value: object) -> None:
    assert getattr(llama_cpp.parse(typed.split()), field) == value


@pytest.mark.parametrize(
    ("typed", "says", "hint"),
    [
        ("--ctx-sise 4096", "no option --ctx-sise", "--ctx-size"),
        ("-ngk 3", "no option -ngk", "-ng"),
        ("4096", "'4096' is not an option of llama-server", "begin with"),
        ("-c many", "-c takes a number, found 'many'", ""),
        ("-c", "-c takes a value, found none", ""),
        ("-ctk q9_9", "-ctk takes one of f32", ""),
        ("-ts a,b", "-ts takes proportions", ""),
        ("-ts -1,1", "-ts takes proportions", ""),
        ("-ts nan,1", "-ts takes proportions", ""),
        ("-ot exps", "-ot takes PATTERN=BUFFER", ""),
        ("-fit maybe", "-fit takes one of on, off", ""),
        ("--load-mode tape", "--load-mode takes one of", ""),
        ("--swa-full=1", "takes no value", ""),
        ("--metrics=1", "takes no value", ""),
        ("--control-vector-layer-range 1", "takes 2 values, found 1", ""),
    ],
)
def test_what_no_build_accepts_is_refused(typed: str, says: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        llama_cpp.parse(typed.split())
    assert says in str(refused.value)
    assert hint in refused.value.hint


@given(st.lists(st.text(min_size=1, max_size=12), max_size=6))
def test_any_words_are_parsed_or_refused(words: list[str]) -> None:
    try:
        llama_cpp.parse(words)
    except UsageError as refused:
        assert str(refused)  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    "extra",
    [("--host", "0.0.0.0"), ("--host=0.0.0.0",), ("--ssl_key_file", "x"), ("--api-key", "x"), ("-m", "x")],
)
def test_what_the_daemon_decides_is_refused(extra: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="set by the daemon"):
        llama_cpp.arguments(LlamaFlags(extra=extra), NEWEST)


def test_flags_of_another_engine_are_refused() -> None:
    with pytest.raises(UsageError, match="another engine"):
        llama_cpp.arguments(VllmFlags(), NEWEST)


def plan(location: str | None) -> Plan:
    weights = Weights(Source.HUB, "owner/repo", "main", (WeightFile("m-Q4_K_M.gguf"),), "Q4_K_M", 1, location)
    return Plan(
        model="m",
        engine="llama.cpp",
        weights=weights,
        context_tokens=4096,
        parallel=1,
        kv_cache_type="f16",
        memory=(),
        speed=Speed(),
        fits=True,
        confidence=Confidence.ESTIMATED,
        flags=LlamaFlags(context_tokens=4096),
    )


def test_a_command_serves_on_the_loopback_under_the_launchs_name() -> None:
    command = llama_cpp.command(plan("/models/m"), caps=NEWEST, port=21234, name="mine")
    line = " ".join(command.argv)
    assert line.startswith(
        "/opt/llama/llama-server --model /models/m/m-Q4_K_M.gguf --host 127.0.0.1 --port 21234"
    )
    for part in ("--alias mine", "--ctx-size 4096", "--verbosity 4", "--offline", "--cors-origins localhost"):
        assert part in line
    assert command.url == "http://127.0.0.1:21234"


def test_a_plan_for_another_machine_has_a_command_to_show() -> None:
    command = llama_cpp.command(plan(None), caps=llama_cpp.assume(), port=8080, name="m")
    assert command.argv[:3] == ("llama-server", "--model", "m-Q4_K_M.gguf")
    assert "--load-mode" in llama_cpp.assume().flags


def test_libraries_of_a_bundled_build_come_first(engine: Capabilities) -> None:
    env = llama_cpp.command(plan("/m"), caps=engine, port=1, name="m").environment(
        {"LD_LIBRARY_PATH": "/mine"}
    )
    assert env["LD_LIBRARY_PATH"] == f"{Path(engine.path).parent}:/mine"
    assert env["GGML_NO_BACKTRACE"] == "1"
