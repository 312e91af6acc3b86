"""What goes on through cancels: half a rollback would leave a transaction open."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Coroutine
from typing import Any

PATIENCE = 10.0
"""Seconds for which a cancel waits."""
tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
"""Those that the end of the loop waits for and does not cancel."""


async def through(coroutine: Coroutine[Any, Any, Any], patience: float | None = None) -> None:
    """Runs it to its end in a task of its own, and raises only then the cancel that has come
    meanwhile, which takes precedence over what the coroutine raises.

    :param patience: seconds that it may take; None: any time, until a cancel comes
    :raises TimeoutError: it took too long, and was cancelled
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(coroutine)
    tasks.add(task)
    # So that what it raises is never reported as forgotten.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    deadline = None if patience is None else loop.time() + patience
    cancel: asyncio.CancelledError | None = None
    while not task.done():
        left = None if deadline is None else deadline - loop.time()
        if left is not None and left <= 0:
            break
        try:
            await asyncio.wait([task], timeout=left)
        except asyncio.CancelledError as error:
            cancel = error
            if deadline is None:
                deadline = loop.time() + PATIENCE
    if not task.done():
        task.cancel()
    if cancel is not None:
        raise cancel
    if not task.done():
        raise TimeoutError("the connection has not answered in time")
    task.result()
