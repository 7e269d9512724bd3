"""The root of a minimal Debian with a few packages more: their files, copied from this machine.

No download and no maintainer script: dpkg knows which files are a package's. What scripts would have made
(users, alternatives, the bundle of certificates) is written or shown as far as a user needs it.
"""

import ast
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

PACKAGES = ("apt", "python3", "python3-venv", "git", "make", "ca-certificates")
LEFT_OUT = ("/usr/share/man/", "/usr/share/doc/", "/usr/share/locale/", "/usr/share/info/")
USER, UID = "newcomer", 4242
HOME = Path("/home", USER)
FIELDS = "${db:Status-Abbrev}\t${Package}\t${Priority}\t${Provides}\t${Pre-Depends}, ${Depends}\n"
FILES = {
    "etc/passwd": f"root:x:0:0:root:/root:/bin/bash\n{USER}:x:{UID}:{UID}::{HOME}:/bin/bash\n",
    "etc/group": f"root:x:0:\n{USER}:x:{UID}:\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
}


def alternatives(field: str) -> list[list[str]]:
    """``a (>= 1) | b:any, c`` of a control field: [[a, b], [c]]."""
    groups = [group.split("|") for group in field.split(",") if group.strip()]
    return [[name.split()[0].partition(":")[0] for name in group if name.strip()] for group in groups]


def closure(packages: Iterable[str]) -> set[str]:
    """These, those of priority required, and what they need of what is installed; no recommendations."""
    needs: dict[str, list[list[str]]] = {}
    providers: dict[str, str] = {}
    pending = list(packages)
    for row in output("dpkg-query", "--show", f"--showformat={FIELDS}").splitlines():
        status, name, priority, provided, depends = row.split("\t")
        if not status.startswith("ii"):
            continue
        needs[name] = alternatives(depends)
        providers |= {group[0]: name for group in alternatives(provided)}
        pending += [name] if priority == "required" else []
    missing = set(packages) - needs.keys()
    assert not missing, f"not installed as Debian packages: {missing}"
    found: set[str] = set()
    while pending:
        name = pending.pop()
        if name in found:
            continue
        found.add(name)
        for group in needs[name]:
            chosen = [one if one in needs else providers.get(one) for one in group]
            pending += [one for one in chosen if one is not None][:1]
    return found


def fill(root: Path) -> None:
    listed = {
        Path(line)
        for line in output("dpkg", "--listfiles", *closure(PACKAGES)).splitlines()
        if line.startswith("/")
    }
    # Packages say /bin/sh where /bin is a link to /usr/bin: a link is packed once, its content where it is.
    files = {str(path.parent.resolve() / path.name) for path in listed if os.path.lexists(path)}
    wanted = sorted(file for file in files if not file.startswith(LEFT_OUT))
    names = root.with_name(f"{root.name}-files")
    names.write_text("".join(f"{file.lstrip('/') or '.'}\n" for file in wanted))
    pack = f"tar --create --no-recursion --directory=/ --files-from={shlex.quote(str(names))}"
    unpack = f"tar --extract --directory={shlex.quote(str(root))}"
    subprocess.run(["bash", "-o", "pipefail", "-c", f"{pack} | {unpack}"], check=True)
    for folder in ("proc", "sys", "dev", "run", "tmp"):
        (root / folder).mkdir(exist_ok=True)
    for path, text in FILES.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)


def pip_settings() -> dict[str, str]:
    """How pip reaches its index on this machine, as environment variables; the environment's own win."""
    lines = output(sys.executable, "-m", "pip", "config", "list").splitlines()
    settings = [line.partition("=") for line in sorted(lines, key=lambda line: line.startswith(":env:"))]
    return {
        "PIP_" + key.rpartition(".")[2].replace("-", "_").upper(): " ".join(ast.literal_eval(value).split())
        for key, _, value in settings
    }


def paths_in(settings: Mapping[str, str]) -> list[Path]:
    """What of this machine the settings name: files, folders, and of an index also the files beside it."""
    words = " ".join(settings.values()).split()
    named = [Path(word) for word in words if word.startswith("/")]
    indexes = [Path(word.removeprefix("file://")).parent for word in words if word.startswith("file:///")]
    return sorted({path for path in (*named, *indexes) if path.exists()})


def run(
    root: Path, script: str, shown: Sequence[Path], env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs ``script`` there as an unprivileged user, in PID and mount namespaces that end with it."""
    mounts = [
        f"mount --rbind /dev {root}/dev",
        f"mount --rbind -o ro /sys {root}/sys",
        f"mount -t proc proc {root}/proc",
        f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp",
        f"mount -t tmpfs tmpfs {root}/run",
    ]
    for path in (*shown, Path("/etc/resolv.conf")):
        inside = root / path.relative_to("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            inside.mkdir(exist_ok=True)
        else:
            inside.touch()
        mounts.append(f"mount --bind -o ro {shlex.quote(str(path))} {shlex.quote(str(inside))}")
    home = root / HOME.relative_to("/")
    home.mkdir(parents=True)
    os.chown(home, UID, UID)
    variables = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(HOME), "USER": USER, **env}
    enter = ["chroot", f"--userspec={UID}:{UID}", str(root), "env", "-i"]
    enter += [*(f"{name}={value}" for name, value in variables.items()), "bash", "-euc", script]
    within = "\n".join([*mounts, f"exec {shlex.join(enter)}"])
    return subprocess.run(
        [
            "unshare",
            "--mount",
            "--propagation=private",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-euc",
            within,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout
