"""Runs in an engine's process before the engine: sets its limits, then executes it in its place.

The pid stays, and so does the end of the command line. Each start pays for its imports: a little of the
standard library, and nothing else.
"""

import ctypes
import marshal
import os
import resource
import sys

from launchers.sandbox import landlock, seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
LAST_CAPABILITY = 63
# Of a daemon that runs as root its engines keep CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_IPC_LOCK and
# CAP_SYS_NICE: to read weights of others, lock them in memory, and spread over NUMA nodes.
KEPT = 1, 2, 14, 23
SIGPIPE, SIGXFSZ = 13, 25  # Python ignores them
KEY_FD = 8
KEY_FILE = f"/proc/self/fd/{KEY_FD}"
OOM_SCORE = 500  # of 1000: where memory runs out, an engine goes before the daemon, logins and other services
REPORT_FD = 3  # a pipe to the daemon: empty if the engine was executed, else why not
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
COMMAND = (
    *(sys.executable, "-I", "-S", "-c"),
    f"import sys; sys.path.append({ROOT!r}); from launchers.sandbox.shim import main; main()",
)


def main() -> "NoReturn":
    """The rules are read from standard input, the command is in the arguments."""
    step, argv = "rules", sys.argv[1:]
    try:
        rules = marshal.loads(os.read(0, os.fstat(0).st_size))  # noqa: S302 - the daemon wrote them
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if rules["key"]:
            _open_key(rules["key"])
        if rules["report"]:
            os.set_inheritable(REPORT_FD, False)
        step = "sandbox"
        _limit(rules)
        step = "exec"
        os.execv(argv[0], argv)  # noqa: S606 - no shell is meant
    except Exception as error:  # noqa: BLE001 - whatever it is, the daemon must learn why nothing was started
        _report(step, error)
    os._exit(126)


def _open_key(key: str) -> None:
    """As a file in memory: nobody else can open it by a name."""
    made = os.memfd_create("key")
    os.write(made, key.encode())
    if made == KEY_FD:
        os.set_inheritable(made, True)
        return
    os.dup2(made, KEY_FD)  # inherited, unlike the first one
    os.close(made)


def _limit(rules: "dict[str, Any]") -> None:
    """No core files, and the mark by which ``procfs.is_engine`` tells an engine: a limit that can't be raised
    again. Then what this kernel supports of the rest."""
    libc = ctypes.CDLL(None)
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_MSGQUEUE):
        resource.setrlimit(kind, (0, 0))
    for number in (SIGPIPE, SIGXFSZ):
        libc.signal(number, None)
    _give_way()
    if not rules["confined"]:
        return
    _limit_memlock(rules["memlock_bytes"])
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0) != 0:
        raise OSError("no_new_privs can't be set")
    for number in range(LAST_CAPABILITY + 1):
        if number not in KEPT:
            libc.prctl(
                PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0
            )  # refused to all but root, who has some
    version = landlock.abi()
    if version is not None:
        landlock.restrict(version, rules["paths"], bind=rules["bind"], connect=rules["connect"])
    seccomp.install(connects=rules["connect"] != [])


def _give_way() -> None:
    """Anybody may raise it; one that is higher stays."""
    with open("/proc/self/oom_score_adj", "r+") as file:  # noqa: PTH123 - pathlib is not imported here
        if int(file.read()) < OOM_SCORE:
            file.write(str(OOM_SCORE))


def _limit_memlock(size_bytes: "int | None") -> None:
    """Only down: what the daemon has was given to it."""
    if size_bytes is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard == resource.RLIM_INFINITY or hard > size_bytes:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (size_bytes, size_bytes))


def _report(step: str, error: Exception) -> None:
    """A line: the step that failed, and why."""
    why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    try:
        os.write(REPORT_FD, f"{step} {why}".encode())
    except OSError:  # no pipe: of a child that is asked one question
        sys.stderr.write(f"{step} {why}\n")
