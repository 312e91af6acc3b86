"""The threads in which handlers run that are plain functions, and what loops hand to threads."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple[Callable[[Any], None], Any]
_MAX_OF_LOOP = 256
"""Threads of a loop; more calls than that wait."""


class Threads:
    """As many threads as there is work at once; the worker's concurrency bounds both. They are
    daemons: one that never ends must not keep the process from its end, as those of the standard
    library's pool do.

    :param limit: the most threads there are, where nothing else bounds the work
    """

    def __init__(self, name: str, limit: int | None = None) -> None:
        self._name, self._limit = name, limit
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._count = 0

    def submit(self, function: Callable[[Any], None], argument: Any) -> None:
        """Runs it soon. It must not raise."""
        with self._lock:
            # Each idle thread is promised to one job.
            if self._idle > 0:
                self._idle -= 1
            elif self._limit is None or self._count < self._limit:
                self._count += 1
                name = f"{self._name}-{self._count}"
                threading.Thread(target=self._work, name=name, daemon=True).start()
        self._jobs.put((function, argument))

    def end(self) -> None:
        """Ends the threads, each after what it does."""
        with self._lock:
            for _ in range(self._count):
                self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, argument = job
            function(argument)
            # An idle thread keeps nothing alive.
            del job, function, argument
            with self._lock:
                self._idle += 1


class LoopThreads(ThreadPoolExecutor):
    """Where ``asyncio.to_thread`` runs what an ``async def`` handler gives it: daemons, and more
    of them than the usual handful, which a few calls that hang would leave to nobody else."""

    def __init__(self) -> None:
        # A loop takes a ThreadPoolExecutor only. The threads of its own are never started.
        super().__init__(max_workers=1)
        self._all = Threads("pgtasker-loop-thread", _MAX_OF_LOOP)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Runs it soon."""
        future: Future[T] = Future()
        self._all.submit(_fulfil, (future, functools.partial(fn, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the threads, each after what it does, and waits for none."""
        self._all.end()


def _fulfil(job: tuple[Future[T], Callable[[], T]]) -> None:
    future, function = job
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
