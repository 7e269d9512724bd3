"""The command line of llama-server for a plan, in the words of the build at hand."""

from dataclasses import fields

from domain.errors import EngineError, UsageError
from domain.plan import LlamaFlags, Plan
from launchers.base import Capabilities, EngineFlags
from launchers.command import Command, StopPolicy
from launchers.llama_cpp.flags import FLAGS, LOAD_MODE, Flag, Kind, encode

# What the daemon decides: taking these from an owner could open the engine to the network.
RESERVED_FLAGS = """
--host --port --reuse-port -m --model -a --alias -lv --verbosity --log-verbosity --log-file --log-disable
--api-prefix --api-key --api-key-file --ssl-key-file --ssl-cert-file --tools -ag --agent --models-dir
"""
DEFAULTS = {item.name: item.default for item in fields(LlamaFlags)}
# The least verbosity at which devices and buffers are printed, and no prompt is (b10068, b10434).
VERBOSITY = 4
# For builds without --load-mode: the switches that make the mode.
SWITCHES_OF_MODE: dict[str, tuple[str, ...]] = {
    "auto": (),
    "mmap": (),
    "none": ("--no-mmap",),
    "mlock": ("--no-mmap", "--mlock"),
    "mmap+mlock": ("--mlock",),
    "dio": ("--direct-io",),
}


def arguments(flags: EngineFlags, caps: Capabilities) -> tuple[str, ...]:
    if not isinstance(flags, LlamaFlags):
        raise UsageError(f"llama.cpp can't take the flags of another engine: {type(flags).__name__}")
    if mine := sorted(set(RESERVED_FLAGS.split()) & {word.partition("=")[0] for word in flags.extra}):
        raise UsageError(f"{', '.join(mine)} is set by the daemon", hint="leave it out")
    argv: list[str] = []
    for flag in FLAGS:
        argv += _words(flag, getattr(flags, flag.field), caps)
    return (*argv, *_load_mode(flags.load_mode, caps), *flags.extra)


def _words(flag: Flag, value: object, caps: Capabilities) -> tuple[str, ...]:
    if value is None or value == ():
        return ()
    if flag.kind is Kind.SWITCH:
        if value == DEFAULTS[flag.field]:
            return ()
        names = flag.names if value else flag.off
    else:
        names = flag.names
    option = caps.first(names)
    if option is None:
        return () if flag.optional else _lacking(names[0], caps)
    if flag.kind is Kind.SWITCH:
        return (option,)
    word = encode(flag, value)
    if caps.values.get(option) and flag.values and word not in caps.values[option]:
        _lacking(f"{option} {word}", caps)
    return (option, word)


def _load_mode(mode: str | None, caps: Capabilities) -> tuple[str, ...]:
    if mode is None:
        return ()
    option = caps.first(LOAD_MODE)
    if option is not None:
        return (option, mode) if mode in caps.values.get(option, (mode,)) else _lacking(mode, caps)
    switches = SWITCHES_OF_MODE.get(mode, (mode,))
    return next((_lacking(name, caps) for name in switches if name not in caps.flags), switches)


def _lacking(option: str, caps: Capabilities) -> tuple[str, ...]:
    raise EngineError(
        f"{caps.path} ({caps.version or 'of unknown version'}) has no {option}, which this plan needs",
        hint="install a newer llama.cpp, or point llama_server in the settings at one",
        cause="flag_missing",
    )


def command(plan: Plan, *, caps: Capabilities, port: int, name: str) -> Command:
    """A plan without weights on this disk gets the file's bare name: to be shown, not to be run."""
    model = plan.weights.first_path or plan.weights.files[0].name
    argv = (caps.path, "--model", model, "--host", "127.0.0.1", "--port", str(port), "--alias", name)
    return Command(
        argv=(*argv, *arguments(plan.flags, caps), *_child_limits(caps)),
        port=port,
        served_name=name,
        env=dict(caps.env),
        stop=StopPolicy(grace_s=10.0),
    )


def _child_limits(caps: Capabilities) -> tuple[str, ...]:
    """Logs that can be read back, no network, no calls from the pages of a browser, counters."""
    wanted = (
        ("--verbosity", str(VERBOSITY)),
        ("--offline",),
        ("--cors-origins", "localhost"),
        ("--metrics",),
    )
    return tuple(word for words in wanted if words[0] in caps.flags for word in words)
