"""``node-ctl service``: installs, removes and inspects the system service. Needs root, but no daemon."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ctl.command_group import CommandGroup
from ctl.exit_codes import DONE, FAILED
from ctl.options import Json
from ctl.service import install as installation
from ctl.service import offer
from ctl.service import status as service_status
from ctl.service import uninstall as removal
from ctl.service.steps import Target, run_all
from ctl.terminal import print_json

app = typer.Typer(
    cls=CommandGroup,
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

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")]
Root = Annotated[
    Path, typer.Option(metavar="DIR", help="Install into the file system below DIR, for packages and tests.")
]
Prefix = Annotated[Path, typer.Option(metavar="DIR", help="Where to put the environment of the service.")]


@app.command()
def install(
    *,
    now: Annotated[bool, typer.Option("--now", help="Also start it, or restart an old version.")] = False,
    take_over: Annotated[
        bool | None,
        typer.Option(
            "--take-over/--no-take-over",
            help="Serve the launches of the user who called sudo, and move the weights; needs --now.",
        ),
    ] = None,
    prefix: Prefix = Path("/opt/node-daemon"),
    root: Root = Path("/"),
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Install the system service, which starts at boot.

    Copies this environment to /opt/node-daemon, which the user of the service can read and no `git pull` or
    `make clean` changes; creates the user node-daemon; installs and enables the unit. It can be repeated.

    The user who called sudo is added to the group node-daemon, and can use node-ctl after logging in again.
    Launches and weights of that user are taken over if wanted: in a terminal, with --now, this asks; else it
    takes them only with --take-over. The node-daemon of that user is stopped first.
    """
    target = Target(root, prefix)
    member = os.environ.get("SUDO_USER")
    taken = offer.choose(member, wanted=take_over, now=now, may_ask=not (as_json or dry_run), target=target)
    chosen = installation.steps(target, now=now, member=member, take_over=taken)
    done = run_all(chosen, dry_run=dry_run)
    facts: dict[str, object] = {"unit": str(target.unit), "environment": str(prefix)}
    facts["take_over"] = None if taken is None else offer.as_row(taken)
    _print_steps(facts, done, dry_run=dry_run, as_json=as_json)
    if taken is not None and not as_json:
        print("\n".join(offer.lines(taken)))


@app.command()
def uninstall(
    *,
    purge: Annotated[
        bool, typer.Option("--purge", help="Also remove the state, the weights and the user.")
    ] = False,
    prefix: Prefix = Path("/opt/node-daemon"),
    root: Root = Path("/"),
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Stop the service and remove what install created.

    Stops all its engines. State and weights are kept.
    """
    target = Target(root, prefix)
    done = run_all(removal.steps(target, purge=purge), dry_run=dry_run)
    facts = {"unit": str(target.unit), "purged": purge}
    _print_steps(facts, done, dry_run=dry_run, as_json=as_json)


@app.command()
def status(*, as_json: Json = False) -> None:
    """Show what systemd says about the service.

    Exit status 1 if it is not active.
    """
    state = service_status.read_status(Target(Path("/"), Path("/opt/node-daemon")))
    if as_json:
        print_json(asdict(state))
    else:
        print("\n".join(service_status.status_lines(state)))
    raise typer.Exit(DONE if state.active == "active" else FAILED)


def _print_steps(
    facts: dict[str, object], done: list[tuple[str, bool]], *, dry_run: bool, as_json: bool
) -> None:
    """With --dry-run, the second of each pair is whether the step would change anything."""
    if as_json:
        steps = [{"what": what, "changed": changed} for what, changed in done]
        print_json({**facts, "dry_run": dry_run, "steps": steps})
        return
    for what, changed in done:
        print(f"{'would ' if dry_run and changed else ''}{what}" if changed else f"nothing to do: {what}")
