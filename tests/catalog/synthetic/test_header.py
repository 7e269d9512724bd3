"""Tables rebuilt from facts: against recorded files, printed parameter counts and published sizes."""

import json
import re
import resource
import subprocess
import sys
from math import prod
from pathlib import Path

import pytest

from catalog.formats.gguf.reader import read_file
from catalog.synthetic.header import estimate_header_bytes, shape_of
from catalog.synthetic.tensor_layouts import rows
from config.data import catalogue
from domain.errors import BadModelError
from domain.models.catalogue_types import KnownModel, KnownQuant
from tests.planner.build import published
from tests.rigs import lent_ports
from tests.rigs.replica import shape_from_facts, write_replica

RECORDED = json.loads((Path(__file__).parents[1] / "recorded.json").read_text())["models"]
MODELS = catalogue()
LLAMA_SERVER = Path(sys.executable).with_name("llama-server-vulkan")
ADDRESS_SPACE_BYTES = 3_500_000_000


QUANTS = [
    pytest.param(model, quant, id=f"{alias} {quant.quant}")
    for alias, model in MODELS.items()
    for quant in model.quants
    if model.shape and quant.size_bytes is not None
]


@pytest.mark.parametrize("name", RECORDED)
def test_a_replica_is_as_long_as_the_recorded_file(tmp_path: Path, name: str) -> None:
    facts = RECORDED[name]
    shape = shape_from_facts(facts, facts["quant"])
    path = write_replica(tmp_path / "replica.gguf", shape)
    assert abs(path.stat().st_size - facts["file_bytes"]) <= 32  # one key more or less in the header
    assert path.stat().st_blocks * 512 < 16 * 2**20  # a hole where the weights would be
    read = read_file(path)
    assert read.tensors == shape.tensors
    assert read.array_lengths["tokenizer.ggml.tokens"] == facts["vocab_size"]


@pytest.mark.engine
@pytest.mark.parametrize("name", ["gpt-oss-120b", "gemma-3-12b", "deepseek-v2-lite", "qwen3-next-80b"])
def test_the_engine_takes_a_replica_for_the_model(tmp_path: Path, name: str) -> None:
    """It prints what the recorded file took, and gives up where it should map the weights."""
    facts = RECORDED[name]
    path = write_replica(tmp_path / "replica.gguf", shape_from_facts(facts, facts["quant"]))
    port = lent_ports.free()
    flags = f"-c 4096 -np 1 -fit on -lv 4 --no-warmup --no-repack --host 127.0.0.1 --port {port}".split()
    done = subprocess.run(
        [str(LLAMA_SERVER), "-m", str(path), *flags],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES)),
    )
    printed = re.search(r"- Host .*= *(\d+) \+ *(\d+) \+ *\d+", done.stdout + done.stderr)
    assert printed, (done.stdout + done.stderr)[-2000:]
    assert [int(printed[1]), int(printed[2])] == [facts["host_model_mib"], facts["host_context_mib"]]


@pytest.mark.parametrize("alias", [alias for alias, model in MODELS.items() if model.shape])
def test_the_table_has_as_many_parameters_as_the_model(alias: str) -> None:
    model = MODELS[alias]
    assert model.parameters is not None
    count = sum(prod(dims) for _, dims in rows(model.architecture, model.shape))
    assert count == pytest.approx(model.parameters, rel=0.002)  # GGUF lacks the pooler of BGE M3, 0.19 %


@pytest.mark.parametrize(("model", "quant"), QUANTS)
def test_a_blueprint_is_as_large_as_the_published_file(model: KnownModel, quant: KnownQuant) -> None:
    assert quant.size_bytes is not None
    shape = shape_of(model, quant)
    alone = sum(tensor.size_bytes for tensor in shape.tensors)
    with_header = alone + estimate_header_bytes(model)  # publishers print the one or the other
    assert min(abs(size - quant.size_bytes) for size in (alone, with_header)) < 0.02 * quant.size_bytes
    assert shape.file_bytes == quant.size_bytes


def test_without_a_published_size_a_blueprint_has_that_of_the_quantizers_recipe() -> None:
    model = MODELS["llama-3.1-8b"]
    sizes = {kind: shape_of(model, KnownQuant("o/r", kind)).file_bytes for kind in ("Q4_K_M", "Q8_0", "F16")}
    assert sizes["Q4_K_M"] == pytest.approx(4_920_739_232, rel=0.005)  # bartowski's file, in bytes
    assert sizes["Q8_0"] == pytest.approx(8_540_775_840, rel=0.005)
    assert sizes["F16"] == pytest.approx(16_068_895_264, rel=0.005)


def test_a_blueprint_is_what_the_real_file_holds(smollm2: Path) -> None:
    model = MODELS["smollm2-135m"]
    assert model.pypi is not None
    real = read_file(smollm2)
    file = model.pypi
    shape = shape_of(model, KnownQuant("", file.quant, file.size_bytes))
    assert sorted(shape.tensors, key=lambda item: item.name) == sorted(
        real.tensors, key=lambda item: item.name
    )
    for key in ("block_count", "context_length", "attention.head_count_kv", "rope.freq_base", "vocab_size"):
        assert shape.get(key) == real.get(key)


def test_an_engine_can_read_a_replica_of_a_blueprint(tmp_path: Path) -> None:
    model = MODELS["gpt-oss-20b"]
    shape = shape_of(model, model.quants[0])
    path = write_replica(tmp_path / "replica.gguf", shape)
    assert read_file(path).tensors == shape.tensors
    assert path.stat().st_size >= shape.file_bytes


def test_a_model_without_facts_says_what_is_missing() -> None:
    with pytest.raises(BadModelError, match=r"mystery.*block_count"):
        shape_of(KnownModel("mystery", "?", "llama"), KnownQuant("o/r", "Q4_K_M", 1000))
    with pytest.raises(BadModelError, match=r"mystery.*mamba9000"):
        shape_of(
            KnownModel("mystery", "?", "mamba9000", shape={"block_count": 1}), KnownQuant("o/r", "Q8_0", 1)
        )


# A model of each family as the engine's own loader asks for its tensors (tests/captures).
OF_FAMILIES = [
    "qwen3.5-27b",
    "qwen3.5-4b",
    "qwen3.5-35b-a3b",
    "gemma-4-31b",
    "gemma-4-26b-a4b",
    "gemma-4-e4b",
    "ministral-3-8b",
    "granite-3.3-8b",
    "nemotron-nano-9b-v2",
    "seed-oss-36b",
    "olmo-2-7b",
    "smollm3-3b",
    "qwen3-vl-8b",
    "lfm2-1.2b",
    "lfm2-8b-a1b",
]


@pytest.mark.parametrize("name", OF_FAMILIES)
def test_a_family_has_the_tensors_that_the_engine_asks_for(name: str) -> None:
    shape = published(name)
    names = {tensor.name for tensor in shape.tensors}
    prefix = f"{shape.architecture}."
    facts = {
        key.removeprefix(prefix): value for key, value in shape.metadata.items() if key.startswith(prefix)
    }
    facts["tied_embeddings"] = "output.weight" not in names
    facts["rope_freqs"] = "rope_freqs.weight" in names
    built = set(rows(shape.architecture, facts))
    assert built == {(tensor.name, tensor.shape) for tensor in shape.tensors}
