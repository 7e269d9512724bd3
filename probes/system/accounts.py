"""Users and their groups, from the user and group databases."""

import grp
import os
import pwd
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """``groups`` are ids from the group database. A running process has those of the time of its login."""

    name: str
    uid: int
    home: str = ""
    groups: frozenset[int] = frozenset()


def by_uid(uid: int) -> Account | None:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return None
    return Account(entry.pw_name, uid, entry.pw_dir, frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid)))


def by_name(name: str) -> Account | None:
    try:
        return by_uid(pwd.getpwnam(name).pw_uid)
    except KeyError:
        return None


def group_names() -> dict[int, str]:
    return {group.gr_gid: group.gr_name for group in grp.getgrall()}
