"""What a caller asks the catalog for: which model, and which of its files are of use."""

from dataclasses import dataclass

from catalog.formats.gguf.quants import kind_in_name
from catalog.formats.gguf.reader import part_names
from catalog.names import ModelName
from domain.models.kinds import Kind
from domain.models.model import WeightFile


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A model by name, and what it is wanted for. Of a repository's quants larger than ``most_bytes`` only
    the smallest is read. Where some are on this disk, the hub is asked for others only if these are all
    larger than ``most_bytes``, or if none of them is of this ``quality``; for a model that is to be
    ``complete``, for what is used beside it, too. ``offline``: never ask the hub."""

    name: ModelName
    engine: str | None = None
    quality: str | None = None
    most_bytes: int | None = None
    offline: bool = False
    complete: bool = False

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
        """All, or the parts of the model that ``file`` is one of, with what is named a projector."""
        if self.file is None or not self.file.endswith(".gguf"):
            return files
        parts = part_names(self.file)
        is_projector = kind_in_name(self.file) is Kind.PROJECTOR
        return tuple(
            file
            for file in files
            if file.name in parts or (not is_projector and kind_in_name(file.name) is Kind.PROJECTOR)
        )
