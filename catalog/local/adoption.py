"""Adds GGUF files of Ollama and LM Studio to the store by link: nothing is copied.

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

from catalog.local import inventory, layout
from domain.errors import BadModelError
from domain.models.model import Source, WeightFile, Weights

log = logging.getLogger(__name__)
MODEL = "application/vnd.ollama.image.model"
MAGIC = b"GGUF"
LM_STUDIO = ("~/.lmstudio/models", "~/.cache/lm-studio/models")
_PART = re.compile(r"[A-Za-z0-9][\w.-]*")


def default_folders(ollama: Path | None) -> tuple[Path, ...]:
    return (*((ollama,) if ollama else ()), *(Path(folder).expanduser() for folder in LM_STUDIO))


def adopt(folders: Sequence[Path], models_dir: Path) -> tuple[str, ...]:
    """Links every GGUF file into the store and returns the names that these models can be launched by.

    Raises: BadModelError for what this process may not read, after all others are adopted; OSError."""
    names: list[str] = []
    denied: PermissionError | None = None
    for folder in folders:
        try:
            candidates = _find(folder)
        except PermissionError as error:
            denied = denied or error
            continue
        for repo, name, path in candidates:
            try:
                if not _is_gguf(path):
                    continue
            except PermissionError as error:
                denied = denied or error
                continue
            snapshot = layout.repo_folder(models_dir, repo) / "snapshots" / layout.ADOPTED
            link = snapshot / name
            snapshot.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(path.resolve())
            log.info("adopted: file=%s from=%s", link, path)
            names.append(
                inventory.name_of(Weights(Source.HUB, repo, layout.ADOPTED, (WeightFile(name),), "", 0))
            )
    if denied is not None:
        raise _denied_error(denied, tuple(dict.fromkeys(names)))
    return tuple(dict.fromkeys(names))


def _find(folder: Path) -> list[tuple[str, str, Path]]:
    """Repository, file name and path of each model. Raises: PermissionError, which glob would ignore."""
    for below in (folder, folder / "manifests", folder / "blobs"):
        if below.is_dir():
            os.scandir(below).close()
    return [*_find_ollama(folder), *_find_lm_studio(folder)]


def _denied_error(error: PermissionError, names: tuple[str, ...]) -> BadModelError:
    uid = os.geteuid()
    user = next((entry.pw_name for entry in pwd.getpwall() if entry.pw_uid == uid), str(uid))
    adopted = f"; adopted: {', '.join(names)}" if names else ""
    return BadModelError(
        f"{error.filename} cannot be read by node-daemon's user, {user}{adopted}",
        hint=f"setfacl -R -m u:{user}:rX FOLDER, and u:{user}:x for each folder above; then adopt again",
    )


def _find_ollama(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """``llama3.2:1b`` becomes ``ollama/llama3.2`` with the file ``1b-<quant>.gguf``."""
    for manifest in sorted((folder / "manifests").glob("*/*/*/*")):
        content = _read_json(manifest)
        model, tag = manifest.parent.name, manifest.name
        layers = [layer for layer in content.get("layers") or [] if isinstance(layer, dict)]
        digest = next((str(layer.get("digest")) for layer in layers if layer.get("mediaType") == MODEL), "")
        if not _PART.fullmatch(model) or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            continue
        config = _read_json(_blob(folder, str(content.get("config", {}).get("digest", ""))))
        quant = str(config.get("file_type") or "")
        owner = manifest.parent.parent.name if manifest.parent.parent.name != "library" else "ollama"
        name = f"{tag}-{quant}.gguf" if _PART.fullmatch(quant) else f"{tag}.gguf"
        if _PART.fullmatch(owner) and _PART.fullmatch(tag):
            yield f"{owner}/{model}", name, _blob(folder, digest)


def _blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / digest.replace(":", "-").replace("/", "")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _find_lm_studio(folder: Path) -> Iterator[tuple[str, str, Path]]:
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
