"""The projector of a model on this disk that does not lie among the files that were named.

It is in the folder of a single file, or in another copy of the same repository.
"""

import dataclasses
import logging
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from catalog.formats.gguf import companions, reader
from catalog.formats.gguf.grouping import bare_name, preference
from catalog.formats.gguf.quants import kind_in_name
from catalog.local import layout
from catalog.local.tree import LocalTree
from domain.errors import BadModelError
from domain.models.classification import kind_of
from domain.models.kinds import Kind
from domain.models.model import Companion, ResolvedModel, WeightFile

log = logging.getLogger(__name__)
MAX_HEADERS = 12  # that are read of a folder to find projectors whose names don't say what they are


def with_projector_beside(model: ResolvedModel) -> ResolvedModel:
    """``model``, a single file, with the projector in its folder. Among files of several models its name must
    be nearest to this one's."""
    folder, own = Path(model.weights.repo), {file.name for file in model.weights.files}
    files = [file for file in _gguf_files(folder) if file.name not in own]
    names = {file.name for file in files if kind_in_name(file.name) is None}
    projectors = [
        companion
        for companion in _projectors(folder, files)
        if _is_nearest(companion.file.name, next(iter(own)), names - {companion.file.name})
    ]
    return _with(model, LocalTree(folder, tuple(files)), projectors)


def with_projector_of_copies(
    models: tuple[ResolvedModel, ...], repo: str, roots: Sequence[Path]
) -> tuple[ResolvedModel, ...]:
    """``models`` of ``repo``, if there is none beside them, with the projector of another snapshot in any of
    ``roots``: it is named by its whole path."""
    if any(companion.role is Kind.PROJECTOR for model in models for companion in model.weights.beside):
        return models
    for root in roots:
        for folder in layout.snapshots(root, repo, None):
            files = [
                WeightFile(str(folder / file.name), file.size_bytes)
                for file in layout.files_below(folder)
                if kind_in_name(file.name) is Kind.PROJECTOR
            ]
            if files and not layout.find_outside_link(folder, files, roots):
                tree = LocalTree(folder, tuple(files), repo)
                found = tuple(_with(model, tree, _projectors(folder, files)) for model in models)
                if any(model.companion_shapes for model in found):
                    return found
    return models


def _with(model: ResolvedModel, tree: LocalTree, projectors: Iterable[Companion]) -> ResolvedModel:
    if not (found := tuple(sorted(projectors, key=preference))):
        return model
    beside = (*model.weights.beside, *found)
    with_files = dataclasses.replace(model, weights=dataclasses.replace(model.weights, beside=beside))
    shapes = model.companion_shapes
    (result,) = companions.with_shapes(tree, (with_files,))
    return dataclasses.replace(result, companion_shapes={**shapes, **result.companion_shapes})


def _gguf_files(folder: Path) -> list[WeightFile]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.name.lower().endswith(".gguf"))
    except OSError as error:  # the file itself may be readable all the same
        log.info("no projector looked for: folder=%s why=%s", folder, error)
        return []
    files = []
    for path in paths:
        with suppress(OSError):  # a link that leads nowhere, or to itself
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                files.append(WeightFile(path.name, status.st_size))
    return files


def _projectors(folder: Path, files: Iterable[WeightFile]) -> list[Companion]:
    """By their headers: first of those that are named so, then of the smallest."""
    by_hint = sorted(
        files, key=lambda file: (kind_in_name(file.name) is not Kind.PROJECTOR, file.size_bytes or 0)
    )
    found = []
    for file in by_hint[:MAX_HEADERS]:
        try:
            shape = reader.read_file(folder / file.name)
        except BadModelError as error:
            log.info("file is not usable: file=%s why=%s", file.name, error)
            continue
        if kind_of(shape) is Kind.PROJECTOR:
            found.append(Companion(Kind.PROJECTOR, file))
    return found


def _is_nearest(projector: str, model: str, others: Iterable[str]) -> bool:
    """Whether no other model's name begins more alike."""
    own = _common(projector, model)
    return all(_common(projector, other) <= own for other in others)


def _common(projector: str, model: str) -> int:
    """Characters that both names begin with."""
    pairs = zip(bare_name(projector), bare_name(model), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
