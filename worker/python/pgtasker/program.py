"""What a worker and a consumer have in common: they start, run, and stop."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import platform
import signal
import sys
import sysconfig
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .errors import WorkerError
from .json_text import write
from .runtime import Runtime

if TYPE_CHECKING:
    from ._native import Native

_LOOK = 0.2
"""Seconds between two looks at a start, so that signals work."""
_FAREWELL = 2.0
"""Seconds that the end of the process waits for workers that nobody has stopped."""
_running: weakref.WeakSet[Runtime] = weakref.WeakSet()


def load() -> type[Native]:
    """The native module.

    :raises ImportError: this package has none for this platform
    """
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise ImportError("pgtasker does not support free-threaded Python: take the usual build")
    try:
        from ._native import Native
    except ImportError as error:
        text = (
            f"pgtasker has no native module for {sys.platform} {platform.machine()}, Python "
            f"{platform.python_version()}: {error}; enqueueing and pgtasker.testing work without it"
        )
        raise ImportError(text) from error
    return Native


@atexit.register
def _stop_all() -> None:
    runtimes = [one for one in _running if not one.ended.is_set()]
    for runtime in runtimes:
        try:
            runtime.native.shutdown()
            runtime.ended.wait(_FAREWELL)
        except Exception:
            # The process ends in any case.
            pass


def milliseconds(seconds: float | None) -> int | None:
    """For options."""
    return None if seconds is None else max(0, round(seconds * 1_000))


class Program:
    """Starts, runs, and stops the native side."""

    def __init__(self) -> None:
        self._runtime: Runtime | None = None
        self._must_stop = False
        self._process: int | None = None
        """Where it was started."""

    def _launch(self) -> Native:
        raise NotImplementedError

    def _receive(self, item: dict[str, Any]) -> Any:
        raise NotImplementedError

    def _at_end(self) -> None:
        """When nothing more arrives."""

    @property
    def is_running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._runtime is not None and not self._runtime.ended.is_set()

    def start(self) -> None:
        """Starts it on threads of its own, and returns once it runs. Installs no signal handlers.

        :raises ValueError: an option is wrong
        :raises WorkerError: it cannot start
        :raises ImportError: there is no native module for this platform
        """
        runtime = self._begin(None)
        while not self._has_started(runtime, _LOOK):
            pass

    def _begin(self, loop: asyncio.AbstractEventLoop | None) -> Runtime:
        if self.is_running:
            raise RuntimeError(self._why_not())
        native: Native | None = None
        try:
            native = self._launch()
            runtime = Runtime(native, self._receive, self._at_end, loop)
            self._runtime, self._process = runtime, os.getpid()
            _running.add(runtime)
            if self._must_stop:
                native.shutdown()
            runtime.start()
        except BaseException:
            self._runtime = None
            if native is not None:
                native.shutdown()
            # Whoever waits for events waits for none of this start.
            self._at_end()
            raise
        return runtime

    def _why_not(self) -> str:
        if self._process == os.getpid():
            return "it runs already"
        return (
            f"this was started in process {self._process}, and its threads are not in its fork "
            f"{os.getpid()}: start it after the fork"
        )

    def _has_started(self, runtime: Runtime, wait: float) -> bool:
        try:
            return runtime.native.started(wait)
        except RuntimeError as error:
            runtime.native.shutdown()
            # The next start finds nothing of this one, and a stop has nothing to say again.
            if runtime.ended.wait(_FAREWELL):
                self._runtime = None
            raise WorkerError(str(error)) from None

    def shutdown(self) -> None:
        """Asks it to stop and returns at once: it claims nothing more, and what runs may end
        within the grace period."""
        if self._runtime is not None:
            self._runtime.native.shutdown()

    def stop(self, timeout: float | None = None) -> bool:
        """Asks it to stop, and waits for its end; False: not within ``timeout`` seconds.

        :raises WorkerError: it has ended before, without being asked to
        """
        runtime = self._runtime
        if runtime is None:
            return True
        self.shutdown()
        if not runtime.ended.wait(timeout):
            return False
        self._close(runtime)
        return True

    def _close(self, runtime: Runtime) -> None:
        self._runtime = None
        if runtime.error is not None:
            raise WorkerError(runtime.error)

    def run(self) -> None:
        """Runs until SIGTERM or ctrl-c, and ends in good order; the second signal ends the process
        at once. Signals are handled in the main thread only.

        :raises WorkerError: it cannot start, or has ended without being asked to
        """
        self._must_stop = False
        try:
            with self._signals():
                self.start()
                runtime = self._runtime
                assert runtime is not None
                runtime.ended.wait()
                self._close(runtime)
        finally:
            # A signal was about this run, not about the next start.
            self._must_stop = False

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: Any) -> None:
            if self._must_stop:
                os._exit(128 + number)
            self._must_stop = True
            self.shutdown()

        numbers = (signal.SIGTERM, signal.SIGINT)
        before = [(number, signal.signal(number, handle)) for number in numbers]
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)

    async def arun(self) -> None:
        """Runs in the caller's event loop, on which ``async def`` handlers run too, until
        :meth:`shutdown`, or until this is cancelled: then what runs may end within the grace
        period. Installs no signal handlers.

        :raises WorkerError: it cannot start, or has ended without being asked to
        """
        runtime = self._begin(asyncio.get_running_loop())
        ended = asyncio.ensure_future(asyncio.to_thread(runtime.ended.wait))
        try:
            while not await asyncio.to_thread(self._has_started, runtime, _LOOK):
                pass
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            self.shutdown()
            await ended
            self._runtime = None
            raise
        self._close(runtime)

    @property
    def id(self) -> UUID | None:
        """Under which it stands in the database; None: it does not run, or is a consumer."""
        text = None if self._runtime is None else self._runtime.native.id()
        return None if text is None else UUID(text)

    def health(self) -> dict[str, Any]:
        """Whether it can do its work, as ``/health`` tells it; empty: it does not run."""
        health = {} if self._runtime is None else json.loads(self._runtime.native.health())
        return health if isinstance(health, dict) else {"status": health}

    def metrics(self) -> str:
        """Its metrics, as Prometheus reads them."""
        return "" if self._runtime is None else self._runtime.native.metrics()


def options(given: dict[str, Any]) -> str:
    """As JSON, without what was not given."""
    return write({name: value for name, value in given.items() if value is not None}, "options")
