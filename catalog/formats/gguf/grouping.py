"""GGUF files by what belongs together: quants of one thing are a family. By their names alone."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from catalog.formats.base import QuantFiles
from catalog.formats.gguf.quants import QUANT, SHARD, kind_in_name, quant_in_name, quant_of
from catalog.formats.gguf.reader import each_part, part_names
from domain.models.kinds import Kind
from domain.models.model import Companion, PassedOver, WeightFile

# Of several projectors the first of these is used: most are made for F16, F32 gains nothing.
_PREFERRED_TYPES = ("F16", "BF16", "Q8_0")
_IS_NO_MODEL = (Kind.PROJECTOR, Kind.IMATRIX)  # not even where a repository has nothing else


@dataclass(frozen=True, slots=True)
class Family:
    """Files that are named alike but for their quant, the smallest first. ``kind`` is what the name suggests,
    until a header is read; ``None``: nothing, so a model."""

    quants: tuple[QuantFiles, ...]
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """The complete quants of a model, the smallest first. ``ambiguous`` has two files at the same depth that
    are the same quant: of models with other names or in other folders, or with names that differ in case
    alone."""

    quants: tuple[QuantFiles, ...] = ()
    ambiguous: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    passed_over: tuple[PassedOver, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """``incomplete`` has the first missing part of each quant of which no other file is complete."""

    families: tuple[Family, ...]
    incomplete: Mapping[str, str]


def list_families(files: Iterable[WeightFile]) -> Listing:
    by_name = {file.name: file for file in files if file.name.lower().endswith(".gguf")}
    names = sorted(by_name, key=lambda name: (name.count("/"), name))
    families: dict[tuple[object, ...], list[QuantFiles]] = {}
    incomplete: dict[str, str] = {}
    for first in dict.fromkeys(map(_first_part, names)):
        if missing := next((part for part in each_part(first) if part not in by_name), None):
            incomplete.setdefault(quant_of(first).upper(), missing)
        else:
            found = QuantFiles(quant_of(first), tuple(by_name[part] for part in part_names(first)))
            families.setdefault((*_family_key(first), kind_in_name(first)), []).append(found)
    complete = {quant.quant.upper() for quants in families.values() for quant in quants}
    return Listing(
        tuple(map(_family, families.values())),
        {quant: part for quant, part in incomplete.items() if quant not in complete},
    )


def _family(quants: list[QuantFiles]) -> Family:
    name = quants[0].names[0]
    return Family(tuple(sorted(quants, key=lambda files: files.size_bytes)), kind_in_name(name))


def group_files(files: Iterable[WeightFile]) -> Contents:
    """The models in a list, by names alone."""
    families = list_families(files).families
    models = [family for family in families if family.kind is None]
    if not models:  # drafts, or models with odd names
        models = [family for family in families if family.kind not in _IS_NO_MODEL]
    return choose_quants(models)


def choose_quants(families: Sequence[Family]) -> Contents:
    """Of a quant in several folders the one nearest to the top counts."""
    chosen: dict[str, QuantFiles] = {}
    ambiguous: dict[str, tuple[str, str]] = {}
    passed_over: list[PassedOver] = []
    every = [quant for family in families for quant in family.quants]
    for quant in sorted(every, key=lambda files: (files.names[0].count("/"), files.names[0])):
        name = quant.names[0]
        earlier = chosen.setdefault(quant.quant.upper(), quant).names[0]
        if earlier == name:
            continue
        if earlier.count("/") == name.count("/") and _are_two(earlier, name):
            ambiguous.setdefault(quant.quant.upper(), (earlier, name))
        else:
            passed_over.append(PassedOver(name, f"{earlier} is the same quant"))
    quants = tuple(sorted(chosen.values(), key=lambda files: files.size_bytes))
    return Contents(quants, ambiguous, tuple(passed_over))


def preference(companion: Companion) -> tuple[str, int, str]:
    """By which companions are sorted: of each kind the best first."""
    quant = quant_in_name(companion.file.name) or ""
    rank = _PREFERRED_TYPES.index(quant) if quant in _PREFERRED_TYPES else len(_PREFERRED_TYPES)
    return companion.role, rank, companion.file.name


def _are_two(earlier: str, name: str) -> bool:
    """Whether neither may stand for the other: of names that differ in case alone, one hides the other on
    some disks."""
    return earlier.lower() == name.lower() or _family_key(earlier) != _family_key(name)


def _family_key(name: str) -> tuple[str, str]:
    """Its folder and its name, without quant and part number."""
    path = PurePosixPath(name)
    return _without_quant(str(path.parent)), _without_quant(SHARD.sub("", path.stem))


def bare_name(name: str) -> str:
    """The name of a file without its folder, quant, part number, and the word that marks a projector."""
    words = _family_key(PurePosixPath(name).name)[1].split("-")
    return "-".join(word for word in words if word != Kind.PROJECTOR)


def _without_quant(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", QUANT.sub("", text).lower()).strip("-")


def _first_part(name: str) -> str:
    return re.sub(r"-\d{5}(-of-\d{5}\.gguf)$", r"-00001\1", name)
