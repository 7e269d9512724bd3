"""One request for each of several launches: at the same time, independent of one another."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Any

from ctl.client import Daemon
from ctl.exit_codes import DONE, exit_status
from ctl.terminal import note, print_json, sanitize
from domain.errors import NodeError, UsageError

# Of a stop, and of a restart, which answers once the old engine has ended: one on many GPUs takes a minute to
# end, and has a grace period before it is killed.
STOP_TIMEOUT_S = 300.0


def named(names: Sequence[str] | None, *, every: bool, daemon: Daemon, states: Collection[str]) -> list[str]:
    """The names that are given, each once; with ``every`` those of all launches in one of ``states``.

    Raises: UsageError where neither or both are given.
    """
    if bool(names) == every:
        raise UsageError(
            "give names or --all, not both" if every else "no launch is named",
            hint="node-ctl ps lists their names; --all takes all of them",
        )
    if names:
        return list(dict.fromkeys(names))
    return [row["name"] for row in daemon.get("/v1/launches") if row["state"] in states]


def for_each(
    names: Sequence[str], call: Callable[[str], Any], say: Callable[[str, Any], str], *, as_json: bool
) -> int:
    """Reports each, in the order of ``names``. The exit status: that of the first that failed.

    Of one name the result or error is the command's own. Of several --json prints a list, in which an error
    is {"name", "error"}.
    """
    if len(names) == 1:
        result = call(names[0])
        print_json(result) if as_json else print(say(names[0], result))
        return DONE
    status, results = DONE, []
    for name, future in [(name, _begin(call, name)) for name in names]:
        try:
            results.append(future.result())
        except NodeError as error:
            status = status or exit_status(error.code)
            results.append({"name": name, "error": _complain(name, error)})
        else:
            if not as_json:
                print(say(name, results[-1]), flush=True)
    if as_json:
        print_json(results)
    elif not names:
        note("there are none")
    return status


def _begin(call: Callable[[str], Any], name: str) -> "Future[Any]":
    """In a thread that does not outlive a Ctrl-C, as those of an executor do."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call(name))
        except BaseException as error:  # noqa: BLE001 - raised again where the result is taken
            future.set_exception(error)

    Thread(target=run, name=name, daemon=True).start()
    return future


def _complain(name: str, error: NodeError) -> dict[str, str]:
    message = str(error) if name in str(error) else f"{name}: {error}"
    parts = (("node-ctl", message), ("engine output", error.engine_output), ("hint", error.hint))
    note("\n".join(sanitize(f"{label}: {text}") for label, text in parts if text))
    return {"code": error.code, "message": str(error), "hint": error.hint, "line": error.engine_output}
