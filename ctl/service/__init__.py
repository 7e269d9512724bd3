"""``node-ctl service``: install, remove and inspect the system service. Needs root, and no daemon."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ctl.exit_codes import DONE, FAILED
from ctl.options import Json
from ctl.service import install as installing
from ctl.service import status as looking
from ctl.service import uninstall as removing
from ctl.service.steps import Target, run_all
from ctl.terminal import print_json

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Install, remove or inspect the system service.",
    epilog="""\b
Examples:
  sudo .venv/bin/node-ctl service install --now
  node-ctl service status
  sudo node-ctl service uninstall --purge
""",
)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Root = Annotated[
    Path, typer.Option(metavar="DIR", help="Work on the system tree below DIR, for packages and tests.")
]
Prefix = Annotated[Path, typer.Option(metavar="DIR", help="Where the service's own environment goes.")]


@app.command()
def install(
    *,
    now: Annotated[bool, typer.Option("--now", help="Start it, too (or restart it, if it is new).")] = False,
    prefix: Prefix = Path("/opt/node-daemon"),
    root: Root = Path("/"),
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Install the system service, which starts at boot.

    Copies this environment to /opt/node-daemon, where the service's user can read it and no `git pull` or
    `make clean` changes it; makes the user node-daemon; installs and enables the unit. Once more is harmless.

    Who called sudo joins the group node-daemon, and may use node-ctl after logging in again.
    """
    target = Target(root, prefix)
    done = run_all(installing.steps(target, now=now, member=os.environ.get("SUDO_USER")), dry_run=dry_run)
    _tell({"unit": str(target.unit), "environment": str(prefix)}, done, dry_run=dry_run, as_json=as_json)


@app.command()
def uninstall(
    *,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove the state, the weights and the user as well.")
    ] = False,
    prefix: Prefix = Path("/opt/node-daemon"),
    root: Root = Path("/"),
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Stop the service and remove what install put there.

    All its engines end. State and weights stay.
    """
    target = Target(root, prefix)
    done = run_all(removing.steps(target, purge=purge), dry_run=dry_run)
    _tell({"unit": str(target.unit), "purged": purge}, done, dry_run=dry_run, as_json=as_json)


@app.command()
def status(*, as_json: Json = False) -> None:
    """Show what systemd says about the service.

    Exit status 1 if it is not active.
    """
    found = looking.look(Target(Path("/"), Path("/opt/node-daemon")))
    if as_json:
        print_json(asdict(found))
    else:
        print("\n".join(looking.lines(found)))
    raise typer.Exit(DONE if found.active == "active" else FAILED)


def _tell(facts: dict[str, object], done: list[tuple[str, bool]], *, dry_run: bool, as_json: bool) -> None:
    """With --dry-run, the second of each pair is whether it would change anything."""
    if as_json:
        steps = [{"what": what, "changed": changed} for what, changed in done]
        print_json(facts | {"dry_run": dry_run, "steps": steps})
        return
    for what, changed in done:
        print(f"{'would ' if dry_run and changed else ''}{what}" if changed else f"nothing to do: {what}")
