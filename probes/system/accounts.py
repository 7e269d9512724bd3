"""Users and their groups, as the system has them written down and as a process really has them."""

import grp
import os
import pwd
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """``groups`` are those written down for the user, by number: a process keeps the ones of its start."""

    name: str
    uid: int
    home: str = ""
    groups: frozenset[int] = frozenset()


def of(uid: int) -> Account | None:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return None
    return Account(entry.pw_name, uid, entry.pw_dir, frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid)))


def named(name: str) -> Account | None:
    try:
        return of(pwd.getpwnam(name).pw_uid)
    except KeyError:
        return None


def group_names() -> dict[int, str]:
    return {group.gr_gid: group.gr_name for group in grp.getgrall()}
