"""GGUF files of Ollama and LM Studio, taken into the store by link: not a byte is copied.

Ollama keeps ``manifests/<host>/<library>/<model>/<tag>`` beside ``blobs/sha256-<digest>``; the manifest's
layer of the type MODEL is the GGUF. LM Studio keeps ``<publisher>/<repository>/<file>.gguf``.
Sources: ollama server/manifest.go and server/modelpath.go; lmstudio.ai/docs/app/basics/import-model.
"""

import json
import logging
import os
import pwd
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from catalog.local import inventory, metadata
from domain.errors import BadModelError
from domain.model import Source, WeightFile, Weights

log = logging.getLogger(__name__)
MODEL = "application/vnd.ollama.image.model"
MAGIC = b"GGUF"
LM_STUDIO = ("~/.lmstudio/models", "~/.cache/lm-studio/models")
_PART = re.compile(r"[A-Za-z0-9][\w.-]*")


def usual_folders(ollama: Path | None) -> tuple[Path, ...]:
    return (*((ollama,) if ollama else ()), *(Path(folder).expanduser() for folder in LM_STUDIO))


def adopt(folders: Sequence[Path], models_dir: Path) -> tuple[str, ...]:
    """What they can be launched by, once links to them stand in the store. What is no GGUF is passed over.

    Raises: BadModelError for what this process may not read, once all the others are adopted; OSError."""
    names: list[str] = []
    closed: PermissionError | None = None
    for folder in folders:
        try:
            found = _found(folder)
        except PermissionError as error:
            closed = closed or error
            continue
        for repo, name, path in found:
            try:
                if not _is_gguf(path):
                    continue
            except PermissionError as error:
                closed = closed or error
                continue
            snapshot = metadata.repo_folder(models_dir, repo) / "snapshots" / metadata.ADOPTED
            link = snapshot / name
            snapshot.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(path.resolve())
            log.info("adopted: file=%s from=%s", link, path)
            names.append(
                inventory.name_of(Weights(Source.HUB, repo, metadata.ADOPTED, (WeightFile(name),), "", 0))
            )
    if closed is not None:
        raise _unreadable(closed, tuple(dict.fromkeys(names)))
    return tuple(dict.fromkeys(names))


def _found(folder: Path) -> list[tuple[str, str, Path]]:
    """Raises: PermissionError, which glob would keep to itself."""
    for below in (folder, folder / "manifests", folder / "blobs"):
        if below.is_dir():
            os.scandir(below).close()
    return [*_of_ollama(folder), *_of_lm_studio(folder)]


def _unreadable(error: PermissionError, names: tuple[str, ...]) -> BadModelError:
    user = next((one.pw_name for one in pwd.getpwall() if one.pw_uid == os.geteuid()), str(os.geteuid()))
    done = f"; adopted: {', '.join(names)}" if names else ""
    return BadModelError(
        f"{error.filename} cannot be read by node-daemon's user, {user}{done}",
        hint=f"setfacl -R -m u:{user}:rX FOLDER, and u:{user}:x for each folder above; then adopt again",
    )


def _of_ollama(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """``llama3.2:1b`` becomes ``ollama/llama3.2`` with the file ``1b-<quant>.gguf``."""
    for manifest in sorted((folder / "manifests").glob("*/*/*/*")):
        told = _json(manifest)
        model, tag = manifest.parent.name, manifest.name
        layers = [layer for layer in told.get("layers") or [] if isinstance(layer, dict)]
        digest = next((str(layer.get("digest")) for layer in layers if layer.get("mediaType") == MODEL), "")
        if not _PART.fullmatch(model) or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            continue
        config = _json(_blob(folder, str(told.get("config", {}).get("digest", ""))))
        quant = str(config.get("file_type") or "")
        owner = manifest.parent.parent.name if manifest.parent.parent.name != "library" else "ollama"
        name = f"{tag}-{quant}.gguf" if _PART.fullmatch(quant) else f"{tag}.gguf"
        if _PART.fullmatch(owner) and _PART.fullmatch(tag):
            yield f"{owner}/{model}", name, _blob(folder, digest)


def _blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / digest.replace(":", "-").replace("/", "")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _of_lm_studio(folder: Path) -> Iterator[tuple[str, str, Path]]:
    for path in sorted(folder.glob("*/*/*.gguf")):
        owner, repo = path.parent.parent.name, path.parent.name
        if _PART.fullmatch(owner) and _PART.fullmatch(repo):
            yield f"{owner}/{repo}", path.name, path


def _is_gguf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except PermissionError:
        raise
    except OSError as error:
        log.warning("not adopted: file=%s why=%s", path, error.strerror)
        return False
