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
from domain.models.model import PassedOver, ResolvedModel
from tests.catalog.build import PLAIN, Raw, Types, gguf_file
from tests.catalog.resolving import resolve
from tests.rigs import published
from tests.rigs.hub import Hollow, Hub

MODEL = catalogue()["qwen3-30b-a3b"]
QUANTS = ("Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K_L", "Q8_0", "BF16")
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


def test_parts_after_the_first_cost_a_range_each(tmp_path: Path, hub: Hub) -> None:
    """Whatever their number, and that of quants: only first parts have a vocabulary to share."""
    tensors: Types = {f"blk.{n}.x.weight": ((64, 32), GGMLQuantizationType.F32) for n in range(24)}
    files = {}
    for quant, kind in {"Q4_K_M": 15, "Q8_0": 7, "F16": 1}.items():
        path = tmp_path / f"M-{quant}.gguf"
        gguf_file(path, quant=kind, tensors=tensors, split_max_tensors=1, blocks=24)
        files |= {part.name: part.read_bytes() for part in tmp_path.glob(f"M-{quant}-*.gguf")}
    hub.add("o/r", files)
    found = resolve_here(tmp_path)
    assert [len(item.weights.files) for item in found] == [24, 24, 24]
    assert len(hub.gets("/cdn/")) == 3 * 24 + 2


def test_a_quant_of_an_unknown_type_is_passed_over_aloud(tmp_path: Path, hub: Hub) -> None:
    odd = Raw(tensors=1, keys=1).key(b"general.architecture", 8, b"\x05" + bytes(7) + b"llama")
    odd.tensor(b"x", (128,), 142, 0).body(4096)
    hub.add("o/r", {**three(tmp_path), "M-Q2_0.gguf": odd.data})
    found = resolve_here(tmp_path)
    assert quants_of(found) == ["F16", "Q4_K_M", "Q8_0"]
    for item in found:
        (passed_over,) = item.weights.passed_over
        assert passed_over.name == "M-Q2_0.gguf"
        assert passed_over.why.startswith("this program does not know type 142")
    with pytest.raises(BadModelError, match="does not know type 142") as raised:
        resolve_here(tmp_path, "o/r:Q2_0")
    assert "not a usable" not in str(raised.value)
    assert "another quant" in raised.value.hint


def test_a_missing_part_is_told_beside_quants_that_are_complete(tmp_path: Path, hub: Hub) -> None:
    files = three(tmp_path, split_max_tensors=2)
    del files["M-F16-00002-of-00002.gguf"]
    hub.add("o/r", files)
    for item in resolve_here(tmp_path):
        assert item.weights.passed_over == (PassedOver("M-F16-00002-of-00002.gguf", "it is missing"),)


def test_a_file_cut_by_bytes_is_named_as_what_it_is(tmp_path: Path, hub: Hub) -> None:
    whole = three(tmp_path)["M-Q8_0.gguf"]
    cut = {"M-Q8_0.gguf.part1of2": whole[:5000], "M-Q8_0.gguf.part2of2": whole[5000:]}
    hub.add("o/cut", cut)
    hub.add("o/both", {**cut, "M-Q4_K_M.gguf": three(tmp_path / "other")["M-Q4_K_M.gguf"]})
    for name in ("o/cut", "o/cut:Q8_0", "o/both:Q8_0"):
        with pytest.raises(BadModelError, match="cut by bytes into 2 pieces") as raised:
            resolve_here(tmp_path, name)
        assert "cat M-Q8_0.gguf.part1of2 M-Q8_0.gguf.part2of2 > M-Q8_0.gguf;" in raised.value.hint
    (other,) = resolve_here(tmp_path, "o/both")
    assert other.weights.passed_over == (PassedOver("M-Q8_0.gguf", "it is cut by bytes into 2 pieces"),)


def test_names_that_differ_in_case_alone_are_told_apart_by_their_owner(tmp_path: Path, hub: Hub) -> None:
    files = three(tmp_path)
    hub.add("o/r", {"m-q8_0.gguf": files["M-Q8_0.gguf"], "M-Q8_0.gguf": files["M-F16.gguf"]})
    with pytest.raises(BadModelError, match=r"differ in case alone: M-Q8_0\.gguf, m-q8"):
        resolve_here(tmp_path)


def test_a_repository_of_hundreds_of_models_is_not_read(tmp_path: Path, hub: Hub) -> None:
    hub.add("o/r", {f"model-{number}.gguf": b"GGUF" for number in range(300)})
    with pytest.raises(BadModelError, match="holds 300 GGUF models or quants, more than the 128"):
        resolve_here(tmp_path)
    assert not hub.gets("/cdn/")
