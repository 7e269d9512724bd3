"""A client's setup on the screen, and as JSON. Pure."""

from typing import Any

from ctl.connect.formats import render
from ctl.connect.setup import Client, Service, Setup
from ctl.connect.write import Written


def text(setup: Setup, notes: tuple[str, ...] = ()) -> str:
    """Settings as they are copied: each file below its path, then variables, then steps."""
    parts = [f"# {file.path}\n{render(file.format, file.settings)}" for file in setup.files]
    if setup.variables:
        parts.append("".join(f"export {name}={value}\n" for name, value in setup.variables.items()))
    if setup.steps:
        parts.append("".join(f"{number}. {step}\n" for number, step in enumerate(setup.steps, 1)))
    if found := (*setup.notes, *notes):
        parts.append("".join(f"note: {note}\n" for note in found))
    return "\n".join(parts)


def as_json(
    client: Client, service: Service, setup: Setup, notes: tuple[str, ...], written: list[Written] | None
) -> dict[str, Any]:
    return {
        "client": client.name,
        "url": service.base,
        "model": service.model.name,
        "context_tokens": service.model.context_tokens,
        "output_tokens": service.model.output_tokens,
        "files": [
            {"path": str(file.path), "format": file.format.value, "settings": file.settings}
            for file in setup.files
        ],
        "environment": dict(setup.variables),
        "steps": list(setup.steps),
        "notes": [*setup.notes, *notes],
        "written": None if written is None else [_written(one) for one in written],
    }


def written_line(one: Written) -> str:
    if not one.changed:
        return f"{one.path} has these settings already"
    kept = f", the old one is {one.backup.name}" if one.backup else ""
    replaced = f"; replaced: {', '.join(one.replaced)}" if one.replaced else ""
    return f"wrote {one.path}{kept}{replaced}"


def _written(one: Written) -> dict[str, Any]:
    return {
        "path": str(one.path),
        "backup": None if one.backup is None else str(one.backup),
        "replaced": list(one.replaced),
        "changed": one.changed,
    }
