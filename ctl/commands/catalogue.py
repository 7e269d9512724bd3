"""``node-ctl catalogue``: the models that have an alias, and the profiles of other machines."""

from typing import Annotated, Any

import typer

from ctl import completion
from ctl.command_group import CommandGroup
from ctl.options import Json
from ctl.terminal import columns, print_json, sanitize

app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="List the models of the catalogue, show what is known of one, and take a newer catalogue.",
    epilog="""\b
Examples:
  node-ctl catalogue list
  node-ctl catalogue list qwen3.6
  node-ctl catalogue show gpt-oss-120b
  node-ctl catalogue profiles
  node-ctl catalogue update --check
""",
)


ORIGINS = {
    "built-in": "ships with the program",
    "update": "of a newer catalogue that was fetched",
    "own": "of your own file, which the setting catalogue names",
}


@app.command("list")
def list_models(
    *,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WORDS", help="Only models whose alias or title has them.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the aliases with parameters, licence, and what is known for plans without the hub."""
    rows = [row for row in _entries() if _matches(row, words or [])]
    if as_json:
        print_json(rows)
        return
    none = "no model of the catalogue matches: node-ctl search WORDS asks the hub"
    print(sanitize("\n".join(_table(rows) if rows else [none])))


@app.command()
def show(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="An alias.", autocompletion=completion.models)],
    as_json: Json = False,
) -> None:
    """Show repositories, quants with sizes, parsers, sampling, known issues and sources of one model."""
    rows = {row["alias"]: row for row in _entries()}
    entry = rows.get(name) or rows.get(name.lower())
    if entry is None:
        from domain.errors import UnknownModelError  # noqa: PLC0415 - for a wrong name only
        from domain.suggestions import near  # noqa: PLC0415

        raise UnknownModelError(name, near=near(name, rows), what=f"the catalogue has no {name}")
    if as_json:
        print_json(entry)
        return
    from ctl.show.formatting import wrap  # noqa: PLC0415 - --help does without

    for line in wrap(_details(entry), columns(), indent=14):
        print(sanitize(line))


@app.command()
def update(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what the address has: change nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take a newer catalogue from the signed file at the address in the setting catalogue_url.

    Its signature is checked, and that it is not older than the last one. Entries of your own file stay.
    Where the address is set, the daemon does this once a week.
    """
    from ctl.autostart import connect_or_start  # noqa: PLC0415 - --help does without

    found = connect_or_start().post("/v1/catalogue/update", {"check": check})
    if as_json:
        print_json(found)
        return
    print(sanitize("\n".join(_update_lines(found, check=check))))


@app.command()
def revert(*, as_json: Json = False) -> None:
    """Go back to the catalogue that ships with the program. The weekly update takes the next version only."""
    from ctl.autostart import connect_or_start  # noqa: PLC0415 - --help does without

    done = connect_or_start().post("/v1/catalogue/revert")
    version = done["reverted_version"]
    if as_json:
        print_json(done)
    elif version is None:
        print("the catalogue of the program is in use already")
    else:
        print(f"the catalogue of the program is in use again, instead of version {version}")


@app.command()
def profiles(*, as_json: Json = False) -> None:
    """List the machines that plan --on, estimate --on and compare know."""
    from config.data import profile, profile_names  # noqa: PLC0415 - --help does without
    from domain.serialization import to_json  # noqa: PLC0415
    from domain.units import gib  # noqa: PLC0415

    machines = {name: profile(name) for name in profile_names()}
    if as_json:
        print_json([{"name": name, "profile": to_json(machine)} for name, machine in machines.items()])
        return
    for name, machine in machines.items():
        gpus = ", ".join(f"{gpu.name} {gib(gpu.memory_total_bytes)}" for gpu in machine.gpus) or "no GPU"
        print(sanitize(f"{name:<20}{gib(machine.memory.total_bytes):>10} RAM  {gpus}"))


def _entries() -> list[dict[str, Any]]:
    from ctl.autostart import connect_or_start  # noqa: PLC0415 - --help does without

    rows: list[dict[str, Any]] = connect_or_start().get("/v1/catalogue")
    return rows


def _update_lines(found: dict[str, Any], *, check: bool) -> list[str]:
    here = f"version {found['previous_version']}"
    if not found["newer"]:
        return [f"up to date: the address has version {found['version']}, {here} is in use"]
    done = "is there; node-ctl catalogue update takes it" if check else "is in use now"
    lines = [f"version {found['version']} of {found['date']} {done} (before: {here})"]
    lines += [f"  new      {alias}" for alias in found["added"]]
    return lines + [f"  changed  {alias}" for alias in found["altered"]]


def _matches(row: dict[str, Any], words: list[str]) -> bool:
    text = f"{row['alias']} {row['title']}".lower()
    return all(word.lower() in text for word in words)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    from ctl.show.formatting import table  # noqa: PLC0415 - --help does without
    from ctl.show.search import format_count  # noqa: PLC0415

    heads = ("ALIAS", "PARAMETERS", "ARCHITECTURE", "LICENCE", "WITHOUT HUB", "FROM", "TITLE")
    cells = [
        {
            "ALIAS": row["alias"],
            "PARAMETERS": format_count(row["parameters"]),
            "ARCHITECTURE": row["architecture"],
            "LICENCE": row["licence"] or "",
            "WITHOUT HUB": "planned" if row["shape"] and row["quants"] else "",
            "FROM": row.get("origin", ""),
            "TITLE": row["title"],
        }
        for row in sorted(rows, key=lambda row: str(row["alias"]))
    ]
    dropped = ("TITLE", "LICENCE", "ARCHITECTURE", "FROM")
    lines = table(cells, heads, columns(), right={"PARAMETERS"}, dropped_first=dropped)
    return [line for row in lines for line in row]


def _details(entry: dict[str, Any]) -> list[str]:
    """Only what is known."""
    from ctl.show.search import format_count  # noqa: PLC0415 - --help does without
    from domain.units import gib  # noqa: PLC0415

    active = format_count(entry["active_parameters"])
    chat, sampling = entry["chat"] or {}, entry["sampling"] or {}
    rows: list[tuple[str, str]] = [
        ("model", f"{entry['alias']}, {entry['title']}"),
        ("architecture", entry["architecture"]),
        ("parameters", format_count(entry["parameters"]) + (f", {active} used per token" if active else "")),
        ("licence", (entry["licence"] or "") + (", to be accepted on the hub" if entry["gated"] else "")),
        *(("GGUF", repo) for repo in entry["gguf_repos"]),
        *(("safetensors", f"{row['repo']} ({row['kind']})") for row in entry["vllm"]),
        *(("quant", f"{row['quant']} {gib(row['size_bytes'])}, {row['repo']}") for row in entry["quants"]),
        ("chat", _pairs(chat)),
        ("sampling", _pairs(sampling)),
        *(("known issue", issue) for issue in entry["known_issues"]),
        ("entry", ORIGINS.get(entry.get("origin", ""), "")),
        ("source", entry["source"]),
    ]
    return [f"{label:<14}{text}" for label, text in rows if text]


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items() if value is not None)
