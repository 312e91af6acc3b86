"""The threads in which handlers run that are plain functions, and what loops hand to threads."""

from __future__ import annotations

import functools
import queue
import threading
from collections import deque
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

    Python runs one thread at a time, and each change of threads costs more than a short handler.
    So new work wakes one of them, and whoever takes a piece wakes the next for what is left: that
    one comes in when the first waits for something, and else finds nothing left to do.

    :param limit: the most threads there are, where nothing else bounds the work
    """

    def __init__(self, name: str, limit: int | None = None) -> None:
        self._name, self._limit = name, limit
        self._jobs: deque[_Job] = deque()
        self._lock = threading.Lock()
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()
        """One for each idle thread that is to wake up."""
        self._idle = 0
        self._count = 0
        self._is_waking = False
        """A thread is on its way, and has not looked for work yet."""
        self._is_over = False

    def submit(self, function: Callable[[Any], None], argument: Any) -> None:
        """Runs it soon. It must not raise.

        :raises RuntimeError: the system gives not even one thread
        """
        with self._lock:
            self._jobs.append((function, argument))
            if not self._is_waking and not self._wake():
                self._jobs.pop()
                raise RuntimeError("can't start new thread")

    def end(self) -> None:
        """Ends the threads, each after what it does."""
        with self._lock:
            self._is_over = True
            for _ in range(self._idle):
                self._calls.put(None)
            self._idle = 0

    def _wake(self) -> bool:
        """False: there is no thread at all."""
        if self._idle > 0:
            self._idle -= 1
            self._calls.put(None)
            self._is_waking = True
        elif self._limit is None or self._count < self._limit:
            name = f"{self._name}-{self._count + 1}"
            try:
                threading.Thread(target=self._work, name=name, daemon=True).start()
            except RuntimeError:
                # The system gives no more: those that there are take the work.
                return self._count > 0
            self._count += 1
            self._is_waking = True
        return True

    def _work(self) -> None:
        has_come = True
        while True:
            with self._lock:
                if has_come:
                    self._is_waking = has_come = False
                job = self._jobs.popleft() if self._jobs else None
                if job is None:
                    if self._is_over:
                        return
                    self._idle += 1
                elif self._jobs and not self._is_waking:
                    self._wake()
            if job is None:
                self._calls.get()
                has_come = True
                continue
            function, argument = job
            function(argument)
            # An idle thread keeps nothing alive.
            del job, function, argument


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
