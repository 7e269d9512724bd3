"""What a caller asks the catalog for: which model, and which of its files are of use."""

from collections.abc import Iterable
from dataclasses import dataclass

from catalog.formats.gguf.quants import Contents, QuantFiles
from catalog.formats.gguf.reader import part_names
from catalog.names import ModelName
from domain.errors import BadModelError
from domain.model import WeightFile


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A model by name, and what it is wanted for. Of a repository's quants larger than ``most_bytes`` only
    the smallest is read. Where some are on this disk, the hub is asked for others only if these are all
    larger than ``most_bytes``, or if none of them is of this ``quality``. ``offline``: never ask the hub."""

    name: ModelName
    engine: str | None = None
    quality: str | None = None
    most_bytes: int | None = None
    offline: bool = False

    @property
    def selection(self) -> "FileSelection":
        return FileSelection(self.engine, self.name.quant, self.most_bytes, self.name.file)


@dataclass(frozen=True, slots=True)
class FileSelection:
    """Which of a repository's files are read: those of one ``quant``, or the model that ``file`` belongs to.
    Of quants larger than ``most_bytes`` only the smallest is selected, so that a plan can say by how much it
    does not fit."""

    engine: str | None = None
    quant: str | None = None
    most_bytes: int | None = None
    file: str | None = None

    def has_quant(self, quant: str) -> bool:
        """Whether ``quant`` is the one that is asked for, or any will do."""
        return self.quant is None or self.quant.upper() == quant.upper()

    def filter(self, files: tuple[WeightFile, ...]) -> tuple[WeightFile, ...]:
        """All, or the parts of the model that ``file`` is one of."""
        if self.file is None or not self.file.endswith(".gguf"):
            return files
        parts = part_names(self.file)
        return tuple(file for file in files if file.name in parts)

    def select(self, contents: Contents, location: str) -> tuple[QuantFiles, ...]:
        """The quant that is asked for, or all if there is none of that name: the error then names them.
        Raises: BadModelError if a part of what is needed is missing, or if two models have that quant."""
        quants = contents.quants
        missing = [part for quant, part in contents.lacking.items() if self.has_quant(quant)]
        if missing and (self.quant or not quants):
            complete = ", ".join(files.quant for files in quants)
            raise BadModelError(
                f"{location} is incomplete: {missing[0]} is missing",
                hint=f"complete quants: {complete}" if quants else "",
            )
        if twins := next((pair for quant, pair in contents.twins.items() if self.has_quant(quant)), None):
            raise several_models(location, twins)
        if self.quant:
            return tuple(files for files in quants if self.has_quant(files.quant)) or quants
        if self.most_bytes is None:
            return quants
        fitting = tuple(files for files in quants if files.size_bytes <= self.most_bytes)
        return (*fitting, *quants[len(fitting) : len(fitting) + 1])


def several_models(location: str, files: Iterable[str]) -> BadModelError:
    return BadModelError(
        f"{location} holds several models: {', '.join(files)}",
        hint="name one of them: its file's path, or the address of its page on the hub",
    )
