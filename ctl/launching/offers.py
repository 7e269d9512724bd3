"""Offers models of the hub where none has the name: a choice on a terminal, commands to copy in a pipe."""

import re
import shlex
import sys
from typing import Any

from ctl.client import AnswerError, Daemon
from ctl.terminal import is_terminal, note, sanitize
from domain.errors import UnknownModelError, UsageError
from domain.units import gib, rate

ANSWER_TIMEOUT_S = 120.0
WORDS = re.compile(r"[\w.\- ]{1,200}")  # no path, no repository, no quant


def offered(
    daemon: Daemon, command: str, body: dict[str, Any], error: AnswerError, *, as_json: bool
) -> dict[str, Any]:
    """``body`` with the model that was chosen. Raises: ``error``, after the candidates are printed, where
    none was chosen or there is no one to ask."""
    words = str(body["model"])
    if not _is_unknown(error, words):
        raise error
    try:
        found = daemon.post("/v1/offers", _question(body), timeout_s=ANSWER_TIMEOUT_S)
    except AnswerError:
        raise error from None
    if found["known"]:
        raise error
    usable = [offer for offer in found["hub"] if not offer["why_not"]]
    if as_json or not (is_terminal() and sys.stdin.isatty()):
        _print_commands(found, usable, command)
        chosen = None
    else:
        chosen = _asked(found, usable, words)
    if chosen is None:
        meant = f"{error.hint.partition('?')[0]}? " if error.hint.startswith("did you mean") else ""
        what = f"no model is called {words!r}"
        raise UnknownModelError(words, what=what, hint=f"{meant}{_hint(found, usable)}")
    return body | {"model": chosen}


def _is_unknown(error: AnswerError, words: str) -> bool:
    if WORDS.fullmatch(words) is None or words.endswith(".gguf"):
        return False
    return error.code == UnknownModelError.code or (error.code == UsageError.code and " " in words)


def _question(body: dict[str, Any]) -> dict[str, Any]:
    asked = ("model", "context_tokens", "parallel", "quality", "engine", "use", "no_mmproj", "no_draft")
    return {key: body[key] for key in (*asked, "min_context_tokens", "min_quality") if key in body}


def _name(offer: dict[str, Any]) -> str:
    return f"{offer['repo']}:{offer['quant']}" if offer["quant"] else str(offer["repo"])


def _line(offer: dict[str, Any]) -> str:
    size_bytes, speed = offer["size_bytes"], offer["decode_tokens_per_s"]
    parts = [gib(size_bytes)] if size_bytes else []
    parts += [f"about {rate(speed)} tokens/s"] if speed else []
    parts += [f"{offer['repo'].split('/')[0]} {offer['trusted']}"] if offer["trusted"] else []
    return ", ".join(parts)


def _print_commands(found: dict[str, Any], usable: list[dict[str, Any]], command: str) -> None:
    for alias in found["aliases"]:
        note(sanitize(f"node-ctl {command} {shlex.quote(alias)}    # of the catalogue", to=sys.stderr))
    for offer in usable:
        note(sanitize(f"node-ctl {command} {shlex.quote(_name(offer))}    # {_line(offer)}", to=sys.stderr))
    _print_others(found)


def _print_others(found: dict[str, Any]) -> None:
    for offer in found["hub"]:
        if offer["why_not"]:
            note(sanitize(f"not here: {offer['repo']}: {offer['why_not']}", to=sys.stderr))


def _hint(found: dict[str, Any], usable: list[dict[str, Any]]) -> str:
    if found["problem"]:
        return f"the hub was not searched: {found['problem']}"
    if usable or found["aliases"]:
        return "nothing was launched: name one of these"
    if found["hub"]:
        return "nothing on the hub with these words fits here: node-ctl search WORDS lists all"
    return "nothing on the hub has these words in its name"


def _asked(found: dict[str, Any], usable: list[dict[str, Any]], words: str) -> str | None:
    """The choice of who sits at the terminal."""
    choices = [(alias, "of the catalogue") for alias in found["aliases"]]
    choices += [(_name(offer), _line(offer)) for offer in usable]
    if not choices:
        _print_others(found)
        return None
    print(sanitize(f"no model is called {words!r}; these fit here:"))
    for number, (name, line) in enumerate(choices, 1):
        print(sanitize(f"  {number}  {name}  {line}"))
    _print_others(found)
    while True:
        try:
            answer = input(f"Which one? [1-{len(choices)}, Enter for none] ").strip()
        except EOFError:
            return None
        if not answer:
            return None
        if answer.isascii() and answer.isdecimal() and 1 <= int(answer[:4]) <= len(choices):
            return str(choices[int(answer) - 1][0])
