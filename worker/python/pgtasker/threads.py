"""The threads in which handlers run that are plain functions."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

_Job = tuple[Callable[[Any], None], Any]


class Threads:
    """As many threads as there is work at once; the worker's concurrency bounds both. They are
    daemons: one that never ends must not keep the process from its end, as those of the standard
    library's pool do."""

    def __init__(self, name: str) -> None:
        self._name = name
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
            else:
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
