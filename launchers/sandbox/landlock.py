"""Landlock: limits that a process sets itself, on files, TCP ports and signals. Source: landlock(7),
Documentation/userspace-api/landlock.rst."""

import ctypes
import os
import stat
import struct

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
PATH_RULE, PORT_RULE = 1, 2
VERSION = 1  # flag of CREATE_RULESET

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
CHANGE_FOLDER = 0b1_1111_1111_0000  # remove and make entries of all kinds
MAKE_DEVICES = 1 << 6 | 1 << 11
REFER, TRUNCATE, IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE  # what a rule for a file may hold
BIND, CONNECT = 1, 2
ABSTRACT_SOCKETS, SIGNALS = 1, 2
FILES_SINCE = {2: REFER, 3: TRUNCATE, 5: IOCTL_DEVICE}
PORTS_SINCE, SCOPES_SINCE = 4, 6

RIGHTS = {
    "read": READ_FILE | READ_DIR,
    "execute": READ_FILE | READ_DIR | EXECUTE,
    "write": READ_FILE | READ_DIR | WRITE_FILE | CHANGE_FOLDER & ~MAKE_DEVICES | REFER | TRUNCATE,
    "devices": READ_FILE | READ_DIR | WRITE_FILE | IOCTL_DEVICE,
}

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int | None:
    """What the kernel supports; ``None`` where it has no landlock or does not use it."""
    found: int = _libc.syscall(
        ctypes.c_long(CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(VERSION)
    )
    return found if found > 0 else None


def restrict(
    version: int,
    paths: dict[str, list[str]],
    *,
    bind: list[int] | None,
    connect: list[int] | None,
) -> None:
    """From here on this process and its children open only ``paths``, by a name of RIGHTS; those that are
    missing are left out. ``bind`` and ``connect`` are TCP ports, ``None`` for any. What the kernel's
    ``version`` can't restrict stays allowed. Needs no_new_privs. Raises: OSError."""
    handled = CHANGE_FOLDER | EXECUTE | WRITE_FILE | READ_FILE | READ_DIR
    handled |= sum(right for since, right in FILES_SINCE.items() if version >= since)
    ports = {right: allowed for right, allowed in ((BIND, bind), (CONNECT, connect)) if allowed is not None}
    attributes = [handled]
    if version >= PORTS_SINCE:
        attributes.append(sum(ports))
    if version >= SCOPES_SINCE:
        attributes.append(ABSTRACT_SOCKETS | SIGNALS)
    ruleset = _call(CREATE_RULESET, struct.pack(f"={len(attributes)}Q", *attributes), flags=0)
    for name, allowed in paths.items():
        for path in allowed:
            _allow_path(ruleset, path, RIGHTS[name] & handled)
    for right, allowed_ports in ports.items() if version >= PORTS_SINCE else ():
        for port in allowed_ports:
            _add(ruleset, PORT_RULE, struct.pack("=QQ", right, port))
    _check(_libc.syscall(ctypes.c_long(RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint(0)))
    os.close(ruleset)


def _allow_path(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on this machine, or closed to this user anyway
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= OF_FILES
        _add(ruleset, PATH_RULE, struct.pack("=Qi", rights, descriptor))
    finally:
        os.close(descriptor)


def _add(ruleset: int, kind: int, rule: bytes) -> None:
    _check(
        _libc.syscall(
            ctypes.c_long(ADD_RULE), ctypes.c_int(ruleset), ctypes.c_int(kind), rule, ctypes.c_uint(0)
        )
    )


def _call(number: int, attributes: bytes, *, flags: int) -> int:
    size = ctypes.c_size_t(len(attributes))
    return _check(_libc.syscall(ctypes.c_long(number), attributes, size, ctypes.c_uint(flags)))


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
