"""``node-ctl completion``."""

import os
from enum import StrEnum
from typing import Annotated

import typer

USAGE = "bash|zsh|fish"
EXAMPLES = """
  node-ctl completion bash > ~/.local/share/bash-completion/completions/node-ctl
  node-ctl completion zsh > ~/.zfunc/_node-ctl
  node-ctl completion fish > ~/.config/fish/completions/node-ctl.fish
  source <(node-ctl completion bash)    # only for this shell
"""


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def command(
    context: typer.Context,
    *,
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Completes commands, options, models, profiles and names of launches."""
    # Typer's protocol: with this variable set, the program prints its completion script and exits.
    os.environ["_NODE_CTL_COMPLETE"] = f"source_{shell}"
    context.find_root().command.main(args=[], prog_name="node-ctl")
