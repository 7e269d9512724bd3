"""Every error an owner can meet: a stable ``code``, a message with numbers, a ``hint`` with the next step.

NodeError
  UsageError             bad_usage          the request itself is wrong
    ConfigError          bad_config         a settings file or variable is wrong
  UnknownModelError      unknown_model      no such name, repository or file
  BadModelError          bad_model          the file is there and is not a usable model
  CatalogueError         bad_catalogue      a newer catalogue that can't be used: signature, version, contents
  DoesNotFitError        does_not_fit       no plan exists for this model on this machine
  DownloadError          download_failed    weights could not be fetched
    DiskFullError        disk_full          refused before or stopped during a download
  EngineError            engine_failed      an engine is missing, failed to start or died
    EngineRefusedError   engine_refused     an engine has read the header of a model, and can't load it
  UnknownLaunchError     unknown_launch     no launch of that name
  NotPermittedError      not_permitted      someone else may do that, not who asks
  BusyError              busy               another daemon or launch holds what is needed
  DaemonGoneError        daemon_gone        node-ctl finds no daemon
  WorkerLostError        worker_lost        the process that worked on it was ended by somebody else
  StateError             state_failed       the daemon's own state could not be read or written

Codes are turned into HTTP status (daemon/api) and exit status (ctl) at those two edges only.
"""

from collections.abc import Sequence
from enum import StrEnum

from domain.anonymize import without_secrets
from domain.launches.shortfall import Shortfall
from domain.text import printable
from domain.units import gib

NOTHING_NEAR = "node-ctl search WORDS finds models on the hub; a path, a URL or owner/repo works, too"
MESSAGE_CHARS = 16 * 1024
OUTPUT_CHARS = 400  # of an engine's output: enough to say why without filling the screen


class NodeError(Exception):
    """Base of all errors that an owner sees without a traceback. ``engine_output`` is the line of an engine
    that explains it, empty where no engine is involved; the API calls it ``line``. Passwords and tokens of
    URLs in any of them are left out."""

    code = "failed"

    def __init__(self, message: str, *, hint: str = "", engine_output: str = "") -> None:
        super().__init__(printable(without_secrets(message[:MESSAGE_CHARS])))
        self.hint = printable(without_secrets(hint))
        output = printable(without_secrets(engine_output))
        self.engine_output = output if len(output) <= OUTPUT_CHARS else f"{output[:OUTPUT_CHARS]}..."

    def __reduce__(self) -> tuple[object, ...]:
        return restore, (type(self), self.args, self.__dict__)

    @property
    def in_full(self) -> str:
        """The message with the engine's output, for a place that shows a single text."""
        output = self.engine_output
        return f"{self}: {output}" if output and output not in str(self) else str(self)


class UsageError(NodeError):
    code = "bad_usage"


class ConfigError(UsageError):
    code = "bad_config"


class UnknownModelError(NodeError):
    """``near`` are names that exist and may have been meant, best first; ``hint`` is for where none is."""

    code = "unknown_model"

    def __init__(self, name: str, *, near: Sequence[str] = (), what: str = "", hint: str = "") -> None:
        hint = f"did you mean {', '.join(near)}?" if near else hint or NOTHING_NEAR
        super().__init__(what or f"no model is called {name!r}", hint=hint)
        self.near = tuple(near)


class BadModelError(NodeError):
    code = "bad_model"


class CatalogueError(NodeError):
    code = "bad_catalogue"


class DoesNotFitError(NodeError):
    """``has_bytes`` is what this machine has for the model, ``None`` if not known; ``where`` says it of the
    one device that lacks it, in a sentence; ``instead`` says what would fit.
    ``shortfall`` explains it, where that was asked for."""

    code = "does_not_fit"

    def __init__(
        self, model: str, *, needs_bytes: int, has_bytes: int | None, where: str = "", instead: str = ""
    ) -> None:
        available = "an unknown amount" if has_bytes is None else gib(has_bytes)
        where = where or f"it needs {gib(needs_bytes)}, this machine has {available} for it"
        super().__init__(
            f"{model} does not fit: {where}",
            hint=instead or "stop another model with node-ctl stop, or ask for less with --context",
        )
        self.needs_bytes = needs_bytes
        self.has_bytes = has_bytes
        self.shortfall: Shortfall | None = None


class DownloadError(NodeError):
    code = "download_failed"


class DiskFullError(DownloadError):
    """``needs_bytes`` include the ``reserve_bytes`` that the owner keeps free."""

    code = "disk_full"

    def __init__(self, path: str, *, needs_bytes: int, free_bytes: int, reserve_bytes: int = 0) -> None:
        kept = f" with {gib(reserve_bytes)} of it kept in reserve" if reserve_bytes else ""
        super().__init__(
            f"{path} has {gib(free_bytes)} free, the download needs {gib(needs_bytes)}{kept}",
            hint="free some space (node-ctl gc removes unused models), or set models_dir to another disk",
        )
        self.path = path
        self.needs_bytes = needs_bytes
        self.free_bytes = free_bytes
        self.reserve_bytes = reserve_bytes


class EngineError(NodeError):
    """``cause`` is a stable word for what went wrong."""

    code = "engine_failed"

    def __init__(self, message: str, *, hint: str = "", cause: str = "", engine_output: str = "") -> None:
        super().__init__(message, hint=hint, engine_output=engine_output)
        self.cause = cause


class Refused(StrEnum):
    """What an engine refuses: the model in any quant, this file of it, or the options that it was given."""

    MODEL = "model"
    FILE = "file"
    FLAGS = "flags"


class EngineRefusedError(EngineError):
    """An engine that ran said no: the same build will say it again. One that could not run is an
    EngineError."""

    code = "engine_refused"

    def __init__(self, message: str, *, refused: Refused, hint: str = "", engine_output: str = "") -> None:
        super().__init__(message, hint=hint, cause="unsupported_model", engine_output=engine_output)
        self.refused = refused


class UnknownLaunchError(NodeError):
    code = "unknown_launch"


class NotPermittedError(NodeError):
    code = "not_permitted"


class BusyError(NodeError):
    code = "busy"


class DaemonGoneError(NodeError):
    code = "daemon_gone"


class WorkerLostError(NodeError):
    """Not the fault of what was asked: the same may succeed when it is asked again."""

    code = "worker_lost"


class StateError(NodeError):
    code = "state_failed"


def restore(kind: type[NodeError], args: tuple[object, ...], fields: dict[str, object]) -> NodeError:
    """The same error in another process, which the arguments of its constructor can't tell."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error
