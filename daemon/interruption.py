"""Tells the end of a task from an error in it."""

import asyncio


def is_end_of_task(raised: BaseException) -> bool:
    """Whether ``raised`` must leave the current task: somebody cancelled it, or it is thrown away. A
    CancelledError may also come from something that it awaited: then the task itself goes on."""
    if isinstance(raised, GeneratorExit):
        return True
    task = asyncio.current_task()
    return isinstance(raised, asyncio.CancelledError) and task is not None and task.cancelling() > 0
