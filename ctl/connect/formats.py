"""Settings merged into a file's text, of which everything else stays: comments, order, other keys. Pure.

TOML and YAML by libraries that keep comments. JSON has none; a file with comments is refused as it is.
"""

import io
import json
import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import tomlkit
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from tomlkit.exceptions import TOMLKitError

from domain.errors import UsageError


class Format(StrEnum):
    JSON = "json"
    TOML = "toml"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Merged:
    """``replaced`` names the keys that had another value."""

    text: str
    replaced: tuple[str, ...] = ()


@dataclass(slots=True)
class _Merge:
    replaced: list[str] = field(default_factory=list)

    def into(self, target: MutableMapping[str, Any], settings: Mapping[str, Any], path: str = "") -> None:
        """Raises: UsageError where the file has something else in the place of an object or a list."""
        for key, value in settings.items():
            where = f"{path}{key}"
            present = target.get(key)
            if isinstance(value, Mapping) and present is not None:
                self.into(_typed(present, MutableMapping, where), value, f"{where}.")
            elif _is_named(value) and present is not None:
                self._into_list(_typed(present, list, where), value, where)
            elif present != value:
                if present is not None:
                    self.replaced.append(where)
                target[key] = value

    def _into_list(self, target: list[Any], rows: list[dict[str, Any]], path: str) -> None:
        """Rows that have a name: one of the same name is merged, others are added."""
        for row in rows:
            same = next(
                (one for one in target if isinstance(one, dict) and one.get("name") == row["name"]), None
            )
            if same is None:
                target.append(row)
            else:
                self.into(same, row, f"{path}[{row['name']}].")


def _is_named(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _typed(value: Any, kind: type, path: str) -> Any:
    if not isinstance(value, kind):
        raise UsageError(
            f"{path} is {json.dumps(value, default=str)[:60]}, where an object or a list is expected",
            hint="change it by hand; without --write the settings are printed",
        )
    return value


def merge(kind: Format, text: str, settings: Mapping[str, Any]) -> Merged:
    """Raises: UsageError for a text that is not of its format."""
    return _MERGE[kind](text, settings)


def render(kind: Format, settings: Mapping[str, Any]) -> str:
    """As a file that has nothing else."""
    return merge(kind, "", settings).text


def _merge_json(text: str, settings: Mapping[str, Any]) -> Merged:
    try:
        target = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise UsageError(
            f"it is not plain JSON, perhaps for its comments, which would be lost: {error}",
            hint="add the settings by hand; without --write they are printed",
        ) from error
    merge = _Merge()
    merge.into(_typed(target, dict, "the whole file"), settings)
    indent = re.search(r"^[ \t]+", text, re.MULTILINE)
    written = json.dumps(target, indent=indent[0] if indent else 2, ensure_ascii=False)
    return Merged(written + "\n", tuple(merge.replaced))


def _merge_toml(text: str, settings: Mapping[str, Any]) -> Merged:
    try:
        target = tomlkit.parse(text)
    except TOMLKitError as error:
        raise UsageError(f"it is not TOML: {error}", hint="mend it, or add the settings by hand") from error
    merge = _Merge()
    merge.into(target, settings)
    return Merged(tomlkit.dumps(target).strip("\n") + "\n", tuple(merge.replaced))


def _merge_yaml(text: str, settings: Mapping[str, Any]) -> Merged:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # no line is folded that was not
    if re.search(r"^ +- ", text, re.MULTILINE) or not text:
        yaml.indent(mapping=2, sequence=4, offset=2)
    try:
        target = yaml.load(text)
    except YAMLError as error:
        raise UsageError(f"it is not YAML: {error}", hint="mend it, or add the settings by hand") from error
    merge = _Merge()
    if target is None:  # nothing but comments, perhaps
        kept = text.rstrip("\n") + "\n" if text.strip() else ""
        return Merged(kept + _dumped(yaml, dict(settings)))
    merge.into(_typed(target, MutableMapping, "the whole file"), settings)
    return Merged(_dumped(yaml, target), tuple(merge.replaced))


def _dumped(yaml: YAML, value: Any) -> str:
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


_MERGE: dict[Format, Callable[[str, Mapping[str, Any]], Merged]] = {
    Format.JSON: _merge_json,
    Format.TOML: _merge_toml,
    Format.YAML: _merge_yaml,
}
