"""Repositories and files that were planned wrongly once, each through node-ctl with the answer that is right.

The headers are made here (``tests/rigs/headers.py``), the daemon and llama-server are real.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.units import GIB, MIB
from tests.ctl.conftest import Ctl
from tests.rigs import headers, headers_mtp
from tests.rigs.headers import dense, header
from tests.rigs.headers_safetensors import fp8, safetensors
from tests.rigs.hub import Hub

pytestmark = [pytest.mark.engine, pytest.mark.slow]

FILE_TYPES = {"F16": 1, "Q8_0": 7, "Q2_K": 10, "Q4_K": 15, "Q5_K": 17, "Q6_K": 18, "IQ2_XXS": 19}
FILE_TYPES |= {"IQ1_M": 31, "IQ1_S": 36, "MXFP4": 38, "Q2_0": 41}
PARTS = 46


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def ctl(tmp_path_factory: pytest.TempPathFactory, hub: Hub) -> Iterator[Ctl]:
    """One daemon for all: it plans, and serves nothing."""
    ctl = Ctl(tmp_path_factory.mktemp("plans"))
    ctl.env |= {
        "NODE_DAEMON_SYSROOT": "/",
        "NODE_DAEMON_SOCKET": str(ctl.home / "s"),
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    yield ctl
    ctl("shutdown")


def plan(ctl: Ctl, *args: str) -> dict[str, Any]:
    done = ctl("plan", *args, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def refused(ctl: Ctl, *args: str) -> tuple[int, str]:
    done = ctl(*args)
    return done.returncode, done.stderr


def of_quants(quants: dict[str, tuple[str, dict[str, int]]], name: str, architecture: str = "qwen3") -> Any:
    files = {}
    for quant, (kind, sizes) in quants.items():
        rows, keys = dense(architecture, kind=kind, **sizes)
        files[f"{name}-{quant}.gguf"] = header(
            architecture, rows, keys | {"=general.file_type": FILE_TYPES[kind]}
        )
    return files


def test_an_architecture_that_the_engine_does_not_know_is_refused_before_a_byte_of_weights(
    ctl: Ctl, hub: Hub
) -> None:
    rows, keys = dense("kimi-k3", layers=8, kv=4)
    hub.add("new/K-GGUF", {"K-Q4_K_M.gguf": header("kimi-k3", rows, keys)})
    for command in ("plan", "launch"):
        status, text = refused(ctl, command, "new/K-GGUF")
        assert status == 6
        assert "this build of llama-server does not know the architecture kimi-k3" in text
    models = ctl.home / ".local/share/node-daemon/models"
    assert not any(path.is_file() and path.suffix == ".gguf" for path in models.rglob("*"))
    short, short_keys = dense("llama", layers=4, kv=2)
    short_keys["attention.head_count_kv"] = [2, 2, 2]
    path = headers.write(ctl.home, "short-Q4_K_M.gguf", header("llama", short, short_keys))
    status, text = refused(ctl, "plan", str(path))
    assert status != 0
    assert "head_count_kv" in text


def test_a_type_that_the_engine_knows_is_planned_and_that_of_a_fork_is_told(ctl: Ctl, hub: Hub) -> None:
    hub.add("f/tern-GGUF", of_quants({"Q2_0": ("Q2_0", {}), "F16": ("F16", {})}, "T-8B"))
    assert plan(ctl, "f/tern-GGUF:Q2_0")["weights"]["quant"] == "Q2_0"
    assert plan(ctl, "f/tern-GGUF")["weights"].get("passed_over", []) == []
    rows, keys = dense(kind="FORK")
    hub.add("f/fork-GGUF", {"T-Q2_0.gguf": header("qwen3", rows, keys)})
    status, text = refused(ctl, "plan", "f/fork-GGUF")
    assert status == 1
    assert "this program does not know type 142" in text


def test_quants_without_a_known_name_are_judged_by_their_bits(ctl: Ctl, hub: Hub) -> None:
    large = {"layers": 80, "width": 8192, "heads": 64, "kv": 8, "head": 128, "wide": 28672, "words": 128256}
    names = {"UD-TQ1_0": "IQ1_S", "UD-IQ1_M": "IQ1_M", "UD-IQ2_XXS": "IQ2_XXS", "UD-Q2_K_XL": "Q2_K"}
    hub.add("l/L70b-GGUF", of_quants({name: (kind, large) for name, kind in names.items()}, "L70", "llama"))
    chosen = plan(ctl, "l/L70b-GGUF", "--on", "rtx-3090", "--context", "8192")
    assert chosen["weights"]["quant"] == "UD-Q2_K_XL"
    tiers = {"Balanced": "Q5_K", "Compact": "Q4_K", "I-Mini": "Q2_K", "Quality": "Q6_K"}
    files = of_quants({f"APEX-{tier}": (kind, {}) for tier, kind in tiers.items()}, "S-3.7")
    hub.add("k/S-APEX-GGUF", files)
    assert plan(ctl, "k/S-APEX-GGUF")["weights"]["files"][0]["name"] == "S-3.7-APEX-Quality.gguf"


def test_mxfp4_of_a_model_that_was_not_trained_in_it_is_not_the_best(ctl: Ctl, hub: Hub) -> None:
    files = {}
    for name, kind, of_experts in (
        ("MXFP4_MOE", "Q8_0", "MXFP4"),
        ("Q8_0", "Q8_0", "Q8_0"),
        ("Q6_K", "Q6_K", "Q6_K"),
        ("Q4_K_M", "Q4_K", "Q4_K"),
    ):
        rows, keys = headers.experts(kind, of_experts=of_experts)
        keys["=general.file_type"] = FILE_TYPES[of_experts]
        files[f"C-Next-{name}.gguf"] = header("qwen3moe", rows, keys)
    hub.add("q/C-Next-GGUF", files)
    chosen = plan(ctl, "q/C-Next-GGUF", "--on", "rtx-3090", "--quality", "best")
    assert chosen["weights"]["quant"] == "Q8_0"


def test_what_a_file_is_for_is_read_from_its_header(ctl: Ctl, hub: Hub) -> None:
    def model(architecture: str = "qwen3", **sizes: int) -> Any:
        return header(architecture, *dense(architecture, **sizes))

    clip = header("clip", [("mm.0.weight", (1152, 512), "F16")], {"=general.type": "mmproj"})
    lora = [("blk.0.attn_q.weight.lora_a", (512, 8), "F16")]
    adapter = header("qwen3", lora, {"=general.type": "adapter", "=adapter.type": "lora"})
    draft = model("dflash", layers=1)
    glim = {"Glim-30B-17GB-Q4_K_M.gguf": model(), "dflash-Glim-30B-Q4_K_M.gguf": draft}
    hub.add("i/Glim-30B-GGUF", glim | {"mmproj-Glim-30B-Q4_K_M.gguf": clip})
    hub.add("j/Flash-GGUF", {"Q2_K/Flash-Q2_K.gguf": model(kind="Q2_K"), "DFlash/Flash-Q4_K_M.gguf": draft})
    hub.add("g/lora-GGUF", {"M-Q4_K_M.gguf": model(), "my-lora-F16.gguf": adapter})
    hub.add("g/loraonly-GGUF", {"my-lora-F16.gguf": adapter})
    sizes = {"0.5B/ggml-model-Q4_K_M.gguf": model(layers=2), "3B/ggml-model-Q4_K_M.gguf": model(layers=12)}
    hub.add("n/sizes-GGUF", sizes)
    for name in ("i/Glim-30B-GGUF", "i/Glim-30B-GGUF:Q4_K_M"):
        weights = plan(ctl, name)["weights"]
        assert weights["files"][0]["name"] == "Glim-30B-17GB-Q4_K_M.gguf"
        roles = {row["file"]["name"]: row["role"] for row in weights["beside"]}
        assert roles["dflash-Glim-30B-Q4_K_M.gguf"] == "draft"
    assert plan(ctl, "j/Flash-GGUF")["weights"]["quant"] == "Q2_K"
    assert "there is no quant Q4_K_M" in refused(ctl, "plan", "j/Flash-GGUF:Q4_K_M")[1]
    assert plan(ctl, "g/lora-GGUF")["weights"]["quant"] == "Q4_K_M"
    assert "is a LoRA adapter" in refused(ctl, "plan", "g/loraonly-GGUF")[1]
    assert "holds several models" in refused(ctl, "plan", "n/sizes-GGUF")[1]


def test_embedding_and_reranking_models_are_planned_as_what_they_are(ctl: Ctl) -> None:
    for name, flag, made in (
        ("bge-F16.gguf", "--embedding", headers.encoder(pooling=2)),
        ("reranker-F16.gguf", "--reranking", headers.encoder(pooling=4, ranks=True)),
    ):
        chosen = plan(ctl, str(headers.write(ctl.home, name, header("bert", *made))))
        assert flag in chosen["argv"]
        assert sum(row["kv_cache_bytes"] for row in chosen["memory"]) == 0
        assert chosen["speed"]["decode_tokens_per_s"] is None
    large = headers.encoder(pooling=2, layers=24, width=1024, heads=16, wide=4096, words=250002, context=8194)
    path = str(headers.write(ctl.home, "bge-m3-size-F16.gguf", header("bert", *large)))
    done = ctl("estimate", path, "--json", "--", "-c", "8192", "-ngl", "0", "-np", "1")
    [host] = [row for row in json.loads(done.stdout)["memory"] if row["device"] == "host"]
    assert host["kv_cache_bytes"] == 0
    assert host["weights_bytes"] == pytest.approx(1081 * MIB, rel=0.01)


def cache_bytes(ctl: Ctl, *args: str) -> int:
    done = ctl("estimate", "--json", *args)
    assert done.stdout, done.stderr
    return sum(row["kv_cache_bytes"] for row in json.loads(done.stdout)["memory"])


def test_a_head_that_predicts_tokens_takes_its_cache_in_the_file_and_beside_it(ctl: Ctl) -> None:
    def put(name: str, made: tuple[Any, Any]) -> str:
        return str(headers.write(ctl.home, name, header("qwen35", *made)))

    tiny = {"context": 32768, "sizes": headers_mtp.TINY}
    inside = put("tiny-MTP-Q4_K_M.gguf", headers_mtp.hybrid(mtp=1, **tiny))
    plain = put("tiny-plain-Q4_K_M.gguf", headers_mtp.hybrid(mtp=0, **tiny))
    beside = put("mtp-tiny-Q4_0.gguf", headers_mtp.head_alone(**tiny))
    common = ("-c", "32768", "-ngl", "0", "-np", "1", "--spec-type", "draft-mtp", "--spec-draft-n-max", "3")
    for args in ((inside, "--", *common), (plain, "--", *common, "-md", beside)):
        assert cache_bytes(ctl, *args) == pytest.approx(204.6 * MIB, rel=0.01)
    large = {"context": 262144, "sizes": headers_mtp.LARGE}
    inside = put("27B-MTP-Q4_K_M.gguf", headers_mtp.hybrid(mtp=1, **large))
    flags = ("-c", "262144", "-ngl", "999", "-np", "1")
    without = cache_bytes(ctl, inside, "--gpus", "1", "--", *flags)
    with_head = cache_bytes(ctl, inside, "--gpus", "1", "--", *flags, "--spec-type", "draft-mtp")
    assert with_head - without > GIB, "its own KV, and the copies of the recurrent states"


def test_a_quantized_cache_is_offered_only_where_its_blocks_divide_the_heads(ctl: Ctl) -> None:
    sizes = {"layers": 32, "width": 2560, "heads": 32, "kv": 32, "head": 80, "wide": 10240, "words": 51200}
    rows, keys = dense("llama", kind="Q8_0", **sizes)
    path = str(headers.write(ctl.home, "phi2like-Q8_0.gguf", header("llama", rows, keys)))
    status, text = refused(ctl, "plan", path, "--on", "n100-8gb", "--context", "8192")
    assert (status, "does not fit" in text) == (4, True)
    flags = ("-c", "4096", "-np", "1", "-ctk", "q8_0", "-ctv", "q8_0", "-fa", "on")
    status, text = refused(ctl, "estimate", path, "--", *flags)
    assert (status, "do not divide heads of 80 values" in text) == (2, True)


def test_a_part_costs_about_two_requests(ctl: Ctl, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    files = {}
    for name, kind in (("Q4_K_M", "Q4_K"), ("Q8_0", "Q8_0")):
        rows, keys = dense("llama", kind=kind, layers=122, width=256, heads=4, wide=512)
        cut = headers.parts(rows, keys, "llama", PARTS)
        files |= {
            f"{name}/M-{name}-{number:05d}-of-{PARTS:05d}.gguf": part for number, part in enumerate(cut, 1)
        }
    hub.add("t/two-GGUF", files)
    hub.requests.clear()
    plan(ctl, "t/two-GGUF")
    ranges = len([one for one in hub.gets("/resolve/") if one.headers.get("Range")])
    with capsys.disabled():
        print(
            f"\n{len(files)} parts: {ranges} range requests, {ranges / len(files):.1f} a part (3,334 before)"
        )
    assert ranges < 250


LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "num_hidden_layers": 1,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "intermediate_size": 5632,
    "vocab_size": 32000,
    "max_position_embeddings": 32768,
    "torch_dtype": "bfloat16",
}


@pytest.mark.parametrize(
    ("name", "config", "says"),
    [
        ("mlx", {"quantization_config": {"group_size": 64, "bits": 4}}, "MLX"),
        ("exl3", {"quantization_config": {"quant_method": "exl3", "bits": 4.0}}, "exl3"),
    ],
)
def test_what_vllm_can_not_load_is_refused_with_the_reason(
    ctl: Ctl, tmp_path: Path, name: str, config: dict[str, Any], says: str
) -> None:
    tensors = {
        "model.embed_tokens.weight": ("BF16", (32000, 2048)),
        "model.layers.0.mlp.gate_proj.weight": ("I32", (5632, 256)),
        "model.layers.0.mlp.gate_proj.scales": ("BF16", (5632, 32)),
        "model.layers.0.mlp.gate_proj.biases": ("BF16", (5632, 32)),
    }
    folder = safetensors(tmp_path / name, LLAMA | config, tensors)
    status, text = refused(ctl, "plan", folder, "--engine", "vllm", "--on", "rtx-3090")
    assert status != 0
    assert says in text


def test_blocks_of_fp8_are_not_cut(ctl: Ctl, tmp_path: Path) -> None:
    config = LLAMA | {
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        "num_attention_heads": 32,
        "intermediate_size": 6144,
        "moe_intermediate_size": 320,
        "num_experts": 512,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 8,
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128], "fmt": "e4m3"},
    }
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {"model.embed_tokens.weight": ("BF16", (32000, 2048))}
    for block in range(8):
        begin = f"model.layers.{block}."
        for part, rows in (("q", 4096), ("k", 512), ("v", 512)):
            tensors |= fp8(f"{begin}self_attn.{part}_proj", rows, 2048)
        tensors |= fp8(f"{begin}self_attn.o_proj", 2048, 4096)
        tensors[f"{begin}mlp.gate.weight"] = ("BF16", (512, 2048))
        for expert in range(512):
            for part, rows, columns in (("gate", 320, 2048), ("up", 320, 2048), ("down", 2048, 320)):
                tensors |= fp8(f"{begin}mlp.experts.{expert}.{part}_proj", rows, columns)
    folder = safetensors(tmp_path / "fp8", config, tensors)
    done = ctl("plan", folder, "--engine", "vllm", "--on", "quad-l40s", "--json")
    if done.returncode == 0:
        argv = json.loads(done.stdout)["argv"]
        assert "--tensor-parallel-size" not in argv or argv[argv.index("--tensor-parallel-size") + 1] == "1"
    else:
        assert "128" in done.stderr
