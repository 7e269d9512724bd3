"""A repository's headers over HTTP: how little is fetched, what is remembered, and when it is asked again."""

from dataclasses import replace
from pathlib import Path

import pytest
from gguf import GGMLQuantizationType

from catalog.download.download import SPARE_BYTES, fetch
from catalog.hub.cache import Cache
from catalog.synthetic.header import shape_of
from config.data import catalogue
from domain.errors import BadModelError, DiskFullError, DownloadError
from domain.model import ResolvedModel
from tests.catalog.build import PLAIN, Types, gguf_file
from tests.catalog.resolving import resolve
from tests.rigs import published
from tests.rigs.hub import Hollow, Hub

MODEL = catalogue()["qwen3-30b-a3b"]
QUANTS = ("Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K_L", "Q8_0", "UD-Q8_K_XL")
BIG: Types = {**PLAIN, "blk.0.big.weight": ((512, 4096), GGMLQuantizationType.F32)}


@pytest.fixture(scope="module")
def six_quants() -> dict[str, Hollow]:
    return published.quants(MODEL, QUANTS)


def resolve_here(tmp_path: Path, name: str = "o/r", **options: object) -> tuple[ResolvedModel, ...]:
    """As a daemon that keeps what it has read in ``seen``."""
    cache = Cache(tmp_path / "seen")
    return resolve(name, catalogue={}, models_dir=tmp_path / "models", cache=cache, **options)


def quants_of(found: tuple[ResolvedModel, ...]) -> list[str]:
    return [item.weights.quant for item in found]


def three(folder: Path, *, tokens: int = 5000, split_max_tensors: int = 0) -> dict[str, bytes]:
    """Three quants of a small model, or their parts."""
    files = {}
    for quant, kind in {"Q4_K_M": 15, "Q8_0": 7, "F16": 1}.items():
        below = folder / quant
        below.mkdir(parents=True)
        gguf_file(below / f"M-{quant}.gguf", quant=kind, tokens=tokens, split_max_tensors=split_max_tensors)
        files |= {path.name: path.read_bytes() for path in below.iterdir()}
    return files


def test_six_quants_cost_little_more_than_one(
    tmp_path: Path, hub: Hub, six_quants: dict[str, Hollow]
) -> None:
    hub.add("o/r", six_quants)
    resolve_here(tmp_path / "one", "o/r:Q4_0")
    one_bytes, hub.sent_bytes = hub.sent_bytes, 0
    found = resolve_here(tmp_path / "all")
    assert quants_of(found) == list(QUANTS)
    assert hub.sent_bytes - one_bytes < 512 * 1024
    assert one_bytes < 1.25 * len(six_quants["qwen3-30b-a3b-Q4_0.gguf"].head)
    for item, quant in zip(found, MODEL.quants, strict=False):
        assert item.exact
        assert item.shape.tensors == shape_of(MODEL, quant).tensors


def test_a_named_quant_is_the_only_one_that_is_read(tmp_path: Path, hub: Hub) -> None:
    hub.add("o/r", three(tmp_path / "p"))
    [found] = resolve_here(tmp_path, "o/r:q8_0")
    assert found.weights.quant == "Q8_0"
    assert {item.path.rpartition("/")[2] for item in hub.gets("/resolve/")} == {"M-Q8_0.gguf"}


def test_of_quants_beyond_all_memory_only_the_smallest_is_read(tmp_path: Path, hub: Hub) -> None:
    files = three(tmp_path / "p")
    hub.add("o/r", {name: data + bytes(64 * place) for place, (name, data) in enumerate(files.items())})
    smallest = min(map(len, files.values()))
    assert quants_of(resolve_here(tmp_path, most_bytes=0)) == ["Q4_K_M"]
    assert quants_of(resolve_here(tmp_path, most_bytes=smallest)) == ["Q4_K_M", "Q8_0"]
    assert len(resolve_here(tmp_path, most_bytes=1 << 40)) == 3


def test_what_was_read_once_costs_one_listing(tmp_path: Path, hub: Hub) -> None:
    hub.add("o/r", three(tmp_path / "p"))
    first = resolve_here(tmp_path)
    hub.requests.clear()
    assert resolve_here(tmp_path) == first
    assert [item.path.split("?")[0] for item in hub.requests] == ["/api/models/o/r"]


def test_a_new_commit_with_the_same_files_is_not_read_again(tmp_path: Path, hub: Hub) -> None:
    files = three(tmp_path / "p")
    hub.add("o/r", files)
    first = resolve_here(tmp_path)
    commit = hub.add("o/r", {**files, "README.md": b"corrected"})
    hub.requests.clear()
    again = resolve_here(tmp_path)
    assert {item.weights.revision for item in again} == {commit}
    assert [item.shape for item in again] == [item.shape for item in first]
    assert hub.gets("/resolve/") == []


def test_a_file_with_another_digest_is_read_again_and_alone(tmp_path: Path, hub: Hub) -> None:
    files = three(tmp_path / "p")
    hub.add("o/r", files)
    resolve_here(tmp_path)
    other = gguf_file(tmp_path / "other.gguf", tensors=BIG, quant=7).read_bytes()
    hub.add("o/r", {**files, "M-Q8_0.gguf": other})
    hub.requests.clear()
    found = {item.weights.quant: item for item in resolve_here(tmp_path)}
    assert len(found["Q8_0"].shape.tensors) == len(BIG)
    assert {item.path.rpartition("/")[2] for item in hub.gets("/resolve/")} == {"M-Q8_0.gguf"}


def test_a_damaged_cache_is_read_anew_and_mended(tmp_path: Path, hub: Hub) -> None:
    hub.add("o/r", three(tmp_path / "p"))
    first = resolve_here(tmp_path)
    for path in (tmp_path / "seen").iterdir():
        path.write_bytes(path.read_bytes()[:-3])
    assert resolve_here(tmp_path) == first
    hub.requests.clear()
    assert resolve_here(tmp_path) == first
    assert len(hub.requests) == 1


def test_offline_what_was_seen_is_planned_and_dated(tmp_path: Path, hub: Hub) -> None:
    hub.add("o/r", three(tmp_path / "p"))
    first = resolve_here(tmp_path)
    hub.requests.clear()
    again = resolve_here(tmp_path, offline=True)
    assert hub.requests == []
    assert [replace(item, as_of=None) for item in again] == list(first)
    assert all(item.as_of and item.as_of.startswith("20") for item in again)
    assert {item.as_of for item in first} == {None}
    with pytest.raises(DownloadError, match="offline"):
        resolve_here(tmp_path, "o/other", offline=True)


def test_a_silent_hub_leaves_what_was_seen(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("o/r", three(tmp_path / "p"))
    resolve_here(tmp_path, "o/r:Q8_0")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    [found] = resolve_here(tmp_path)  # of the others only the names were seen
    assert found.weights.quant == "Q8_0"
    assert found.as_of


def test_an_alias_is_planned_from_what_was_seen_before_the_catalogue_is_asked(
    tmp_path: Path, hub: Hub
) -> None:
    hub.add("o/r", three(tmp_path / "p"))
    model = replace(MODEL, alias="m", gguf_repos=("gone/r", "o/r"))
    cache = Cache(tmp_path / "seen")
    for offline in (False, True):
        found = resolve(
            "m", catalogue={"m": model}, models_dir=tmp_path / "models", cache=cache, offline=offline
        )
        assert [item.exact for item in found] == [True] * 3
        assert all(bool(item.as_of) is offline for item in found)


@pytest.mark.parametrize("tokens", [10, 20_000])
def test_split_quants_are_read_by_ranges_and_remembered(tmp_path: Path, hub: Hub, tokens: int) -> None:
    files = three(tmp_path / "p", tokens=tokens, split_max_tensors=2)
    assert len(files) == 6
    hub.add("o/r", {f"{name[2:6]}/{name}": data for name, data in files.items()})
    whole = gguf_file(tmp_path / "whole.gguf", tokens=tokens)
    found = resolve_here(tmp_path)
    assert len(found) == 3
    for item in found:
        assert {tensor.name for tensor in item.shape.tensors} == set(PLAIN)
        assert item.shape.array_lengths.get("tokenizer.ggml.tokens", 10) == tokens
        assert item.weights.size_bytes == sum(len(files[file.basename]) for file in item.weights.files)
    assert tokens == 10 or hub.sent_bytes < 2.5 * whole.stat().st_size
    hub.requests.clear()
    assert resolve_here(tmp_path) == found
    assert len(hub.requests) == 1


def test_a_quant_that_cannot_be_used_is_left_out(tmp_path: Path, hub: Hub) -> None:
    files = three(tmp_path / "p")
    hub.add("o/r", {**files, "M-Q8_0.gguf": files["M-Q8_0.gguf"][:-9000]})
    assert set(quants_of(resolve_here(tmp_path))) == {"Q4_K_M", "F16"}
    with pytest.raises(BadModelError, match="truncated"):
        resolve_here(tmp_path, "o/r:Q8_0")


def test_an_address_is_read_again_when_its_tag_changes(tmp_path: Path, hub: Hub) -> None:
    files = three(tmp_path / "p")
    hub.add("o/r", files)
    url = f"{hub.url.replace('127.0.0.1', 'localhost')}/o/r/resolve/main/M-Q8_0.gguf"
    [first] = resolve_here(tmp_path, url)
    hub.sent_bytes = 0
    assert resolve_here(tmp_path, url) == (first,)
    assert hub.sent_bytes < 100
    hub.add("o/r", {"M-Q8_0.gguf": gguf_file(tmp_path / "other.gguf", tensors=BIG).read_bytes()})
    [other] = resolve_here(tmp_path, url)
    assert len(other.shape.tensors) == len(BIG)


def test_of_parts_without_sizes_the_sum_is_known_and_needs_its_room(tmp_path: Path, hub: Hub) -> None:
    whole = gguf_file(tmp_path / "m-Q8_0.gguf", split_max_tensors=2, quant=7)
    files = {path.name: path.read_bytes() for path in whole.parent.glob("m-Q8_0-*.gguf")}
    hub.faults.hides_sizes = True
    hub.add("o/r", files)
    (found,) = resolve_here(tmp_path)
    total_bytes = sum(map(len, files.values()))
    assert found.weights.size_bytes == total_bytes
    with pytest.raises(DiskFullError) as full:
        list(fetch(found.weights, tmp_path / "models", free=lambda _: 0))
    assert full.value.needs_bytes == total_bytes + SPARE_BYTES
