"""The models that GGUF files hold, a quant each, and what lies beside them.

What a file is for is decided by its header. A repository can have many files: of those that are named alike
but for their quant, one header is read, and of the model that is chosen those of all its quants.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from catalog.formats.base import MISSING_FILES, FileTree, NoModelError, QuantFiles
from catalog.formats.gguf import pieces
from catalog.formats.gguf.grouping import (
    Contents,
    Family,
    Listing,
    choose_quants,
    group_files,
    list_families,
    preference,
)
from catalog.formats.gguf.headers import Headers, first_of
from catalog.formats.gguf.quants import quant_of
from catalog.names import unknown_quant
from catalog.request import FileSelection
from domain.errors import BadModelError
from domain.launches.plan import LLAMA_CPP
from domain.models.classification import kind_of
from domain.models.kinds import Kind
from domain.models.model import Companion, ModelShape, PassedOver, ResolvedModel, WeightFile

ENGINE: str = LLAMA_CPP
MAX_FAMILIES = 24  # whose kind is read: of others the name has to do
MAX_NAMED = 6  # files in a message
MAX_PASSED_OVER = 12
MAX_QUANTS = 128  # whose headers are read; the largest repositories have about 40
Pieces = Mapping[str, Sequence[str]]  # of each file that is cut by bytes


def complete_quants(tree: FileTree) -> tuple[QuantFiles, ...]:
    return group_files(tree.files).quants


def read_models(tree: FileTree, selection: FileSelection) -> tuple[ResolvedModel, ...]:
    """Raises: BadModelError where several models could be meant: a choice of quants must not become one of
    models. NoModelError where no file is a model. UnknownModelError for a quant that a server does not
    have."""
    listing = list_families(selection.filter(tree.files))
    location = tree.origin.location or tree.origin.repo
    cut = pieces.pieces_by_file(file.name for file in tree.files)
    _check_names(listing, cut, selection, location, is_remote=tree.is_remote)
    headers = Headers(tree)
    by_hint = sorted(listing.families, key=lambda family: family.kind is not None)  # models first
    headers.read([first_of(family.quants, selection.quant) for family in by_hint[:MAX_FAMILIES]])
    models, others = _split_by_kind(by_hint, headers)
    contents = choose_quants(models)
    _check_complete(contents, listing, selection, location)
    if not models and others:
        raise _no_model(location, others)
    chosen = _select(contents, selection, location, others, is_remote=tree.is_remote)
    if selection.quant is None and selection.file is None:
        _check_one_model(location, [quant for family in models for quant in family.quants], headers)
    headers.read(chosen)
    usable = [quant for quant in chosen if (shape := headers.shape(quant)) and kind_of(shape).is_served]
    broken = [error for quant in chosen if (error := headers.errors.get(quant.names[0]))]
    if broken and not usable:  # of what was asked for: another file of the repository is not to blame
        raise broken[0]
    _check_one_model(location, usable, headers)
    origin = dataclasses.replace(
        tree.origin,
        beside=_companions(others, headers),
        passed_over=_passed_over(contents, listing, cut, selection, headers),
    )
    return tuple(
        ResolvedModel(
            dataclasses.replace(
                origin,
                files=_with_size(quant.files, shape.file_bytes),
                quant=quant.quant,
                size_bytes=quant.size_bytes or shape.file_bytes,
                kind=kind_of(shape),
            ),
            shape,
        )
        for quant in usable
        if (shape := headers.shape(quant))
    )


def _check_names(
    listing: Listing, cut: Pieces, selection: FileSelection, location: str, *, is_remote: bool
) -> None:
    """What names tell before a header is fetched. Raises: BadModelError for a quant that is cut by bytes, or
    for more files than are read; UnknownModelError for a quant that a server has no file of."""
    models = choose_quants([family for family in listing.families if family.kind is None]).quants
    if len(models) > MAX_QUANTS and not selection.quant:
        raise BadModelError(
            f"{location} holds {len(models)} GGUF models or quants, more than the {MAX_QUANTS} that are read",
            hint="name one of them: its quant after a colon, its file's path, or its page on the hub",
        )
    by_name = [quant.quant for family in listing.families for quant in family.quants]
    if not selection.quant or any(map(selection.has_quant, by_name)):
        return
    if asked_for := {whole: parts for whole, parts in cut.items() if selection.has_quant(quant_of(whole))}:
        raise pieces.cut_error(location, asked_for)
    if is_remote and by_name and not _missing(listing, selection):
        raise unknown_quant(location, selection.quant, {files.quant: files.size_bytes for files in models})


def _missing(listing: Listing, selection: FileSelection) -> list[str]:
    return [part for quant, part in listing.incomplete.items() if selection.has_quant(quant)]


def _split_by_kind(
    families: Iterable[Family], headers: Headers
) -> tuple[list[Family], list[tuple[Family, Kind]]]:
    """Models, and what is none. A small model that is named a draft is one beside another model."""
    kinds = [(family, headers.kind(family)) for family in families]
    models = [family for family, kind in kinds if kind.is_served]
    others = [(family, kind) for family, kind in kinds if not kind.is_served]
    named_alike = {_identity(headers.shape_of_any(family)) for family in models if family.kind is None}
    drafts = [
        family
        for family in models
        if named_alike
        and family.kind is Kind.DRAFT
        and _identity(headers.shape_of_any(family)) not in named_alike
    ]
    return (
        [family for family in models if family not in drafts],
        [*others, *((family, Kind.DRAFT) for family in drafts)],
    )


def _check_complete(contents: Contents, listing: Listing, selection: FileSelection, location: str) -> None:
    """Raises: BadModelError for a quant that lacks a part, if it was asked for or there is no other."""
    missing = _missing(listing, selection)
    if missing and (selection.quant or not contents.quants):
        complete = ", ".join(files.quant for files in contents.quants)
        raise BadModelError(
            f"{location} is incomplete: {missing[0]} is missing",
            hint=f"complete quants: {complete}" if complete else MISSING_FILES,
        )


def _select(
    contents: Contents,
    selection: FileSelection,
    location: str,
    others: Sequence[tuple[Family, Kind]],
    *,
    is_remote: bool,
) -> tuple[QuantFiles, ...]:
    """The quant that is asked for. If there is none of that name, all of a folder: the caller may find it
    elsewhere; of a server none, whose headers would be fetched for nothing."""
    quants = contents.quants
    for quant, pair in contents.ambiguous.items():
        if selection.has_quant(quant):
            raise _several_models(location, pair)
    if selection.quant:
        matching = tuple(files for files in quants if selection.has_quant(files.quant))
        if quants and not matching and is_remote:
            raise _unknown_quant(location, selection.quant, quants, others)
        return matching or quants
    if selection.most_bytes is None:
        return quants
    fitting = tuple(files for files in quants if files.size_bytes <= selection.most_bytes)
    return (*fitting, *quants[len(fitting) : len(fitting) + 1])


def _unknown_quant(
    location: str, wanted: str, quants: Sequence[QuantFiles], others: Sequence[tuple[Family, Kind]]
) -> Exception:
    error = unknown_quant(location, wanted, {files.quant: files.size_bytes for files in quants})
    for family, kind in others:
        for files in family.quants:
            if files.quant.upper() == wanted.upper():
                error.hint = f"{error.hint}; {files.names[0]} is {kind.description}"
                return error
    return error


def _with_size(files: tuple[WeightFile, ...], total_bytes: int) -> tuple[WeightFile, ...]:
    """A single file whose size a listing does not tell has that of its model."""
    if len(files) > 1 or files[0].size_bytes is not None:
        return files
    return (dataclasses.replace(files[0], size_bytes=total_bytes),)


def _companions(others: Sequence[tuple[Family, Kind]], headers: Headers) -> tuple[Companion, ...]:
    companions = [
        Companion(kind, file, headers.draft_method(family) if kind is Kind.DRAFT else None)
        for family, kind in others
        for quant in family.quants
        for file in quant.files
    ]
    return tuple(sorted(companions, key=preference))


def _passed_over(
    contents: Contents, listing: Listing, cut: Pieces, selection: FileSelection, headers: Headers
) -> tuple[PassedOver, ...]:
    rows = [
        *(
            PassedOver(name, str(error).removeprefix(f"{name}: "))
            for name, error in sorted(headers.errors.items())
        ),
        *(PassedOver(part, "it is missing") for part in sorted(_missing(listing, selection))),
        *(PassedOver(whole, f"it is cut by bytes into {len(parts)} pieces") for whole, parts in cut.items()),
        *contents.passed_over,
    ]
    if (rest := len(rows) - MAX_PASSED_OVER) > 0:
        rows = [*rows[:MAX_PASSED_OVER], PassedOver(f"{rest} more files", "as those above")]
    return tuple(rows)


def _identity(shape: ModelShape | None) -> tuple[object, ...] | None:
    """What quants of one model share, with heads of multi-token prediction or without."""
    if shape is None:
        return None
    blocks, heads = shape.get("block_count"), shape.get("nextn_predict_layers") or 0
    main_blocks = blocks - heads if isinstance(blocks, int) and isinstance(heads, int) else blocks
    facts = (shape.get(key) for key in ("embedding_length", "expert_count"))
    return (kind_of(shape), shape.architecture, main_blocks, *facts)


def _check_one_model(location: str, quants: Iterable[QuantFiles], headers: Headers) -> None:
    """Raises: BadModelError where headers are of different models."""
    names: dict[object, str] = {}
    for quant in quants:
        if shape := headers.shape(quant):
            names.setdefault(_identity(shape), quant.names[0])
    if len(names) > 1:
        raise _several_models(location, tuple(names.values()))


def _several_models(location: str, files: Sequence[str]) -> BadModelError:
    is_case_alone = len({name.lower() for name in files}) == 1
    what = "files whose names differ in case alone" if is_case_alone else "several models"
    return BadModelError(
        f"{location} holds {what}: {_listed(files)}",
        hint="name one of them: its file's path, or the address of its page on the hub",
    )


def _no_model(location: str, others: Sequence[tuple[Family, Kind]]) -> NoModelError:
    what = [f"{family.quants[0].names[0]} is {kind.description}" for family, kind in others]
    return NoModelError(f"{location} holds no model: {_listed(what)}", hint=others[0][1].hint)


def _listed(items: Sequence[str]) -> str:
    rest = len(items) - MAX_NAMED
    return ", ".join(items[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
