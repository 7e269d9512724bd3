"""Models that are complete on this disk: no network is needed for them."""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from catalog.formats.gguf import pieces
from catalog.formats.gguf.quants import quant_of_shape
from catalog.formats.registry import read_models
from catalog.local import layout
from catalog.local.projectors import with_projector_of_copies
from catalog.local.tree import LocalTree
from catalog.request import FileSelection, ModelRequest
from domain.errors import BadModelError
from domain.launches.plan import LLAMA_CPP
from domain.models.kinds import Kind
from domain.models.model import ResolvedModel, Source

log = logging.getLogger(__name__)


def read_folder(folder: Path, engine: str | None) -> tuple[ResolvedModel, ...]:
    """The models of a folder that was named by its path: those for ``engine`` if it has any, else those for
    another one. Raises: BadModelError."""
    tree = LocalTree(folder, layout.files_below(folder))
    models = read_models(tree, FileSelection(engine)) or read_models(tree, FileSelection())
    if not models:
        if cut := pieces.pieces_by_file(file.name for file in tree.files):
            raise pieces.cut_error(str(folder), cut)
        raise BadModelError(
            f"{folder} holds no model",
            hint="a .gguf file is expected, or .safetensors with config.json or Mistral's params.json",
        )
    return _with_quants_of_headers(models)


def _with_quants_of_headers(models: tuple[ResolvedModel, ...]) -> tuple[ResolvedModel, ...]:
    """A file without a quant in its name has that of its header, unless that would make two the same."""
    quants = [
        quant_of_shape(model.shape, model.weights.files[0].name)
        if model.engine == LLAMA_CPP
        else model.weights.quant
        for model in models
    ]
    if len(set(quants)) < len(models):
        return models
    return tuple(
        dataclasses.replace(model, weights=dataclasses.replace(model.weights, quant=quant))
        for model, quant in zip(models, quants, strict=True)
    )


def find(
    roots: Sequence[Path], repos: Iterable[str], revision: str | None, selection: FileSelection
) -> tuple[ResolvedModel, ...]:
    """Those of the first snapshot that has selected ones. All ``roots`` are laid out as the hub's cache: our
    store first, then the caches of other tools. Raises: DownloadError for a link in our store that leads out
    of all of them."""
    for repo in repos:
        for root in roots:
            for folder in layout.snapshots(root, repo, revision):
                if models := _read_snapshot(repo, folder, selection, roots):
                    return with_projector_of_copies(models, repo, roots)
    return ()


def _read_snapshot(
    repo: str, folder: Path, selection: FileSelection, roots: Sequence[Path]
) -> tuple[ResolvedModel, ...]:
    """A link that leads out of all roots is an error in our own store, where a download would take it for
    the file; a snapshot of another tool with such a link is skipped."""
    files = selection.filter(layout.files_below(folder))
    if path := layout.find_outside_link(folder, files, roots):
        if folder.is_relative_to(roots[0]):
            raise layout.outside_error(path)
        log.info("snapshot leads out: folder=%s file=%s", folder, path.name)
        return ()
    try:
        models = read_models(LocalTree(folder, files, repo, layout.missing_files(folder)), selection)
    except BadModelError as error:
        log.info("snapshot is not usable: folder=%s why=%s", folder, error)
        return ()
    return tuple(model for model in models if _is_selected(model, selection))


def _is_selected(model: ResolvedModel, selection: FileSelection) -> bool:
    has_file = selection.file is None or any(file.name == selection.file for file in model.weights.files)
    return selection.has_quant(model.weights.quant) and has_file


def suffice(local: tuple[ResolvedModel, ...], request: ModelRequest) -> bool:
    """Whether the hub need not be asked: one is of the quality that is asked for, or else one may fit."""
    if request.quality and not request.name.quant and not request.name.file:
        return any(model.weights.quant.upper() == request.quality.upper() for model in local)
    most_bytes = request.most_bytes
    return bool(local) and (not most_bytes or any(model.weights.size_bytes <= most_bytes for model in local))


def with_note_of_projector(
    local: tuple[ResolvedModel, ...], projector_of: Callable[[str], str | None], name: str
) -> tuple[ResolvedModel, ...]:
    """Of a projector that ``projector_of`` knows of the models' repository, and that is not on this disk: a
    launch of what is here asks no hub, and waits for none. ``name``: as the owner wrote the model's."""
    beside = [companion.role for model in local for companion in model.weights.beside]
    if local[0].engine != LLAMA_CPP or Kind.PROJECTOR in beside:
        return local
    projector = projector_of(local[0].weights.repo)
    if projector is None:
        return local
    note = f"no images: its projector, {projector}, is not on this disk; node-ctl pull {name} fetches it"
    return tuple(dataclasses.replace(model, notes=(*model.notes, note)) for model in local)


def with_companions(
    local: tuple[ResolvedModel, ...], remote: Sequence[ResolvedModel], store: Path
) -> tuple[ResolvedModel, ...]:
    """``local`` with the projectors and drafts that ``remote``, the same models as the hub has them, have
    beside them, of kinds that lie beside none here: they are to be fetched. Those that would not come to lie
    beside their model in ``store`` have a revision."""
    return tuple(_with_companions(model, _twin(model, remote), store) for model in local)


def _twin(model: ResolvedModel, remote: Iterable[ResolvedModel]) -> ResolvedModel | None:
    repo = model.weights.repo
    return next((one for one in remote if _key(one) == _key(model) and one.weights.repo == repo), None)


def _with_companions(model: ResolvedModel, twin: ResolvedModel | None, store: Path) -> ResolvedModel:
    own = model.weights
    if twin is None or own.source is not Source.HUB or own.location is None:
        return model
    roles = {companion.role for companion in own.beside}
    comes_beside = twin.weights.revision == own.revision and Path(own.location).is_relative_to(store)
    revision = None if comes_beside else twin.weights.revision
    more = [
        dataclasses.replace(companion, revision=revision)
        for companion in twin.weights.beside
        if companion.role not in roles
    ]
    names = {companion.file.name for companion in more}
    shapes = {name: shape for name, shape in twin.companion_shapes.items() if name in names}
    return dataclasses.replace(
        model,
        weights=dataclasses.replace(own, beside=(*own.beside, *more)),
        companion_shapes={**model.companion_shapes, **shapes},
    )


def _key(model: ResolvedModel) -> tuple[str, str]:
    return model.engine, model.weights.quant.upper()


def merge(local: tuple[ResolvedModel, ...], remote: tuple[ResolvedModel, ...]) -> tuple[ResolvedModel, ...]:
    """All of ``local``, then those of ``remote`` that are not among them."""
    present = set(map(_key, local))
    return (*local, *(model for model in remote if _key(model) not in present))
