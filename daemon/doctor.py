"""All checks, one after the other: what is in the way of serving, why, and what to do about it."""

import asyncio
import grp
import os
from collections.abc import Callable

from daemon import hardware
from daemon.checks import disk, engine, groups, memlock, memory, problems
from daemon.checks.finding import Facts, Finding
from daemon.disk import low_disks
from daemon.node import Node

CHECKS: tuple[Callable[[Facts], tuple[Finding, ...]], ...] = (
    engine.check,
    memory.check,
    memlock.check,
    disk.check,
    groups.check,
    problems.check,
)


async def examine(node: Node) -> tuple[Finding, ...]:
    facts = Facts(
        hardware=await hardware.look(node),
        settings=node.settings,
        groups=await asyncio.to_thread(own_groups),
        low_disks=await asyncio.to_thread(low_disks, node),
    )
    return tuple(finding for check in CHECKS for finding in check(facts))


def own_groups() -> frozenset[str]:
    """Names of the groups of this process; a group without a name is of no interest."""
    own = {os.getegid(), *os.getgroups()}
    return frozenset(group.gr_name for group in grp.getgrall() if group.gr_gid in own)
