"""The formats of model weights there are: README.md says how to add one."""

from catalog.formats.base import FileTree, Format, NoModelError, QuantFiles
from catalog.formats.gguf import companions
from catalog.formats.gguf import models as gguf
from catalog.formats.safetensors import models as safetensors
from catalog.request import FileSelection
from domain.errors import BadModelError
from domain.models.model import ResolvedModel

FORMATS: dict[str, Format] = {"gguf": gguf, "safetensors": safetensors}  # the first that has a model counts


def read_models(tree: FileTree, selection: FileSelection) -> tuple[ResolvedModel, ...]:
    """The models of a tree, or none. Raises: BadModelError, DownloadError."""
    why_not: NoModelError | None = None
    for weight_format in FORMATS.values():
        if selection.engine in (None, weight_format.ENGINE):
            try:
                models = weight_format.read_models(tree, selection)
            except NoModelError as error:
                why_not = why_not or error
                continue
            if models:
                return companions.with_shapes(tree, models)
    if why_not:  # as one of domain's errors: no other may cross from a worker's process
        raise BadModelError(str(why_not), hint=why_not.hint)
    return ()


def complete_quants(tree: FileTree) -> tuple[QuantFiles, ...]:
    """Of all formats, by the names of the files alone."""
    return tuple(quant for weight_format in FORMATS.values() for quant in weight_format.complete_quants(tree))
