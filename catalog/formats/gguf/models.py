"""The models that GGUF files hold, a quant each.

From a server the vocabulary, nearly all of a header, is read for one quant and taken as read for the others
that have their tensor table at the same place.
"""

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from catalog.formats.base import MAX_CONCURRENT_READS, FileTree, NotCachedError, QuantFiles
from catalog.formats.gguf import pieces, reader
from catalog.formats.gguf.quants import Contents, group_files, quant_of
from catalog.names import unknown_quant
from catalog.request import FileSelection
from domain.classification import kind_of
from domain.errors import BadModelError
from domain.model import ModelShape, ResolvedModel, WeightFile
from domain.plan import LLAMA_CPP

log = logging.getLogger(__name__)
ENGINE: str = LLAMA_CPP
MAX_NOTES = 12
MAX_QUANTS = 128  # whose headers are read; the largest repositories have about 40


def complete_quants(tree: FileTree) -> tuple[QuantFiles, ...]:
    return group_files(tree.files).quants


def read_models(tree: FileTree, selection: FileSelection) -> tuple[ResolvedModel, ...]:
    """Raises: BadModelError where several models could be meant: a choice of quants must not become one of
    models. UnknownModelError for a quant that a server does not have."""
    contents = group_files(selection.filter(tree.files))
    location = tree.origin.location or tree.origin.repo
    cut = pieces.pieces_by_file(file.name for file in tree.files)
    asked_for = {whole: parts for whole, parts in cut.items() if selection.has_quant(quant_of(whole))}
    if selection.quant and asked_for and not any(selection.has_quant(one.quant) for one in contents.quants):
        raise pieces.cut_error(location, asked_for)
    quants = _select(contents, selection, location, is_remote=tree.is_remote)
    if len(quants) > MAX_QUANTS:
        raise BadModelError(
            f"{location} holds {len(quants)} GGUF models or quants, more than the {MAX_QUANTS} that are read",
            hint="name one of them: its quant after a colon, its file's path, or its page on the hub",
        )
    shapes, passed_over = _read_shapes(tree, quants)
    passed_over = _bounded((*passed_over, *_incomplete_notes(contents, selection), *pieces.cut_notes(cut)))
    models = []
    for quant in quants:
        if shape := shapes.get(quant.quant):
            weights = dataclasses.replace(
                tree.origin,
                files=_with_size(quant.files, shape.file_bytes),
                quant=quant.quant,
                size_bytes=quant.size_bytes or shape.file_bytes,
                beside=contents.companions,
                kind=kind_of(shape),
            )
            models.append(ResolvedModel(weights, shape, notes=passed_over))
    _check_one_model(location, models)
    return tuple(models)


def _select(
    contents: Contents, selection: FileSelection, location: str, *, is_remote: bool
) -> tuple[QuantFiles, ...]:
    """The quant that is asked for. If there is none of that name, all of a folder: the caller may find it
    elsewhere; of a server none, whose headers would be fetched for nothing."""
    quants = contents.quants
    missing = [part for quant, part in contents.incomplete.items() if selection.has_quant(quant)]
    if missing and (selection.quant or not quants):
        complete = ", ".join(files.quant for files in quants)
        raise BadModelError(
            f"{location} is incomplete: {missing[0]} is missing",
            hint=f"complete quants: {complete}" if quants else "",
        )
    for quant, pair in contents.ambiguous.items():
        if selection.has_quant(quant):
            raise _several_models(location, pair)
    if selection.quant:
        matching = tuple(files for files in quants if selection.has_quant(files.quant))
        if quants and not matching and is_remote:
            sizes = {files.quant: files.size_bytes for files in quants}
            raise unknown_quant(location, selection.quant, sizes)
        return matching or quants
    if selection.most_bytes is None:
        return quants
    fitting = tuple(files for files in quants if files.size_bytes <= selection.most_bytes)
    return (*fitting, *quants[len(fitting) : len(fitting) + 1])


def _bounded(notes: tuple[str, ...]) -> tuple[str, ...]:
    more = len(notes) - MAX_NOTES
    return notes if more <= 0 else (*notes[:MAX_NOTES], f"{more} more were passed over")


def _incomplete_notes(contents: Contents, selection: FileSelection) -> tuple[str, ...]:
    missing = sorted(contents.incomplete.items())
    return tuple(
        f"{quant} was passed over: {part} is missing" for quant, part in missing if selection.has_quant(quant)
    )


def _with_size(files: tuple[WeightFile, ...], total_bytes: int) -> tuple[WeightFile, ...]:
    """A single file whose size a listing does not tell has that of its model."""
    if len(files) > 1 or files[0].size_bytes is not None:
        return files
    return (dataclasses.replace(files[0], size_bytes=total_bytes),)


def _read_shapes(
    tree: FileTree, quants: Sequence[QuantFiles]
) -> tuple[Mapping[str, ModelShape], tuple[str, ...]]:
    """Shape by quant, and why quants were passed over. Raises: BadModelError if none at all is usable."""
    shapes = {quant.quant: shape for quant in quants if (shape := tree.cached_shape(quant.names))}
    headers: list[reader.Header] = []
    errors: dict[str, BadModelError] = {}

    def read(quant: QuantFiles) -> None:
        similar, pool = (headers, parts_pool) if tree.is_remote else (None, None)
        try:
            shape = reader.read_model(quant.names[0], tree.open, similar=similar, pool=pool)
        except NotCachedError:
            return
        except BadModelError as error:
            log.warning("quant is not usable: repo=%s quant=%s why=%s", tree.origin.repo, quant.quant, error)
            errors[quant.quant] = error
            return
        tree.cache_shape(quant.names, shape)
        shapes[quant.quant] = shape

    unread = [quant for quant in quants if quant.quant not in shapes]
    with (
        ThreadPoolExecutor(MAX_CONCURRENT_READS) as pool,
        ThreadPoolExecutor(2 * MAX_CONCURRENT_READS) as parts_pool,
    ):
        for quant in unread[:1]:
            read(quant)  # alone: the others reuse its vocabulary
        list(pool.map(read, unread[1:]))
    if errors and not shapes:
        raise next(iter(errors.values()))
    failed = sorted((quant for quant in quants if quant.quant in errors), key=lambda quant: quant.quant)
    return shapes, tuple(f"{quant.quant} was passed over: {errors[quant.quant]}" for quant in failed)


def _check_one_model(location: str, models: Iterable[ResolvedModel]) -> None:
    """Raises: BadModelError where headers are of different models."""
    names: dict[object, str] = {}
    for model in models:
        facts = (model.shape.get(key) for key in ("block_count", "embedding_length", "expert_count"))
        names.setdefault((model.shape.architecture, *facts), model.weights.files[0].name)
    if len(names) > 1:
        raise _several_models(location, names.values())


def _several_models(location: str, files: Iterable[str]) -> BadModelError:
    names = list(files)
    what = "several models"
    if len({name.lower() for name in names}) == 1:
        what = "files whose names differ in case alone"
    return BadModelError(
        f"{location} holds {what}: {', '.join(names)}",
        hint="name one of them: its file's path, or the address of its page on the hub",
    )
