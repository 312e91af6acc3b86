"""What runs while a worker or a consumer does: a thread that polls, one that answers, a pool for
plain functions, and a loop for ``async def``."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import queue
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import unbroken
from .call import Call, Code, failure_text
from .context import _current
from .errors import Permanent, Retryable, place_of
from .json_text import read_item
from .logging_bridge import forward, say
from .threads import LoopThreads, Threads
from .tracing import attacher

if TYPE_CHECKING:
    from ._native import Native

_MAX_ITEMS = 500
_MAX_WAIT = 0.5
_MAX_ANSWERS = 1_000
_PING_EVERY = 0.25
_BLOCKED = 1.0
"""Seconds for which a handler may block the loop without a warning."""
_ITEM = re.compile(r'\{"type":"(\w+)","id":(\d+)')
_Answer = tuple[int, str, bool]
"""The last: it is a publication's."""
_REPLY = re.compile(r'\{"type":"reply","id":(\d+),"value":')


class Runtime:
    """Polls until the native side has ended.

    :param receive: makes a call of an item; None: there is nothing to be called
    :param loop: runs ``async def``; None: one of its own
    """

    def __init__(
        self,
        native: Native,
        receive: Callable[[dict[str, Any]], Call | None],
        at_end: Callable[[], None],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.native = native
        self.ended = threading.Event()
        self.error: str | None = None
        """Why it has ended, if it was not asked to."""
        self._receive, self._at_end = receive, at_end
        self._base = contextvars.copy_context()
        self._attach = attacher()
        self._threads = Threads("pgtasker-handler")
        self._running: dict[int, Call] = {}
        self._answers: queue.SimpleQueue[_Answer | None] = queue.SimpleQueue()
        self._replies = Replies(native)
        self._own_loop = loop is None
        self._is_loop_done = False
        self.loop = loop or asyncio.new_event_loop()
        if self._own_loop:
            self.loop.set_default_executor(LoopThreads())
        self._watch = _Watch(self.loop)

    def start(self) -> None:
        """Starts the threads."""
        targets = [("poller", self._poll), ("completer", self._complete)]
        if self._own_loop:
            targets.append(("loop", self._run_loop))
        for name, target in targets:
            threading.Thread(target=target, name=f"pgtasker-{name}", daemon=True).start()

    def ask(self, id: int, what: str, arguments: str) -> str:
        """Asks something for the step, and waits."""
        return self.native.ask(id, what, arguments)

    async def ask_later(self, id: int, what: str, arguments: str) -> str:
        """The same within an event loop."""
        return await self._replies.ask(id, what, arguments)

    def answer(self, id: int, text: str, is_publication: bool = False) -> None:
        """Answers what the language was asked."""
        self._answers.put((id, text, is_publication))

    # The poller.

    def _poll(self) -> None:
        try:
            goes_on = True
            while goes_on:
                goes_on = self._take(self.native.poll(_MAX_ITEMS, _MAX_WAIT))
                _guarded(self._watch.look)
        except BaseException as error:
            self.error = f"the native module cannot be polled: {error}"
            say(logging.ERROR, "the native module cannot be polled", error=error)
            # It must claim nothing that nobody would run.
            _guarded(self.native.shutdown)
        finally:
            self._end()

    def _take(self, texts: list[str]) -> bool:
        """False: it was the last item."""
        coroutines: list[Call] = []
        goes_on = True
        for text in texts:
            try:
                goes_on = self._item(text, coroutines) and goes_on
            except BaseException as error:
                # Whatever goes wrong with one item is about that item alone.
                _guarded(self._spoiled, text, error)
        if coroutines:
            self._in_loop(self._begin, coroutines)
        return goes_on

    def _item(self, text: str, coroutines: list[Call]) -> bool:
        reply = _REPLY.match(text)
        if reply:
            self._replies.arrived(int(reply[1]), text[reply.end() : -1])
            return True
        item = read_item(text)
        kind = item["type"]
        if kind == "cancel":
            self._cancel(item)
        elif kind == "log":
            forward(item)
        elif kind == "stopped":
            self.error = item.get("error")
            return False
        elif (call := self._receive(item)) is not None:
            self._running[call.id] = call
            if call.code.is_async:
                coroutines.append(call)
            else:
                self._threads.submit(self._run, call)
        return True

    def _spoiled(self, text: str, error: BaseException) -> None:
        """An item that cannot be read, or of which no call can be made."""
        found = _ITEM.match(text)
        if found is None:
            say(logging.ERROR, "an item cannot be taken", error=error)
            return
        kind, id = found[1], int(found[2])
        if isinstance(error, (ValueError, RecursionError)):
            error = Permanent(f"the {kind} cannot be read: {error}", code="invalid_input")
        self._running.pop(id, None)
        is_publication = kind == "publication"
        self.answer(id, failure_text(error, is_publication), is_publication)

    def _cancel(self, item: dict[str, Any]) -> None:
        call = self._running.get(item["id"])
        if call is None:
            return
        call.why = item["why"]
        if call.step is not None:
            call.step._cancel(item["why"])
        if call.code.is_async:
            self._in_loop(self._cancel_task, call)

    def _in_loop(self, function: Callable[..., None], argument: Any) -> None:
        try:
            self.loop.call_soon_threadsafe(function, argument)
        except RuntimeError:
            # The loop is closed: the caller's own has ended before its worker.
            say(logging.DEBUG, "the event loop has ended")

    def _end(self) -> None:
        try:
            _guarded(self._at_end)
            _guarded(self._answers.put, None)
            _guarded(self._threads.end)
            if self._own_loop:
                _guarded(self._in_loop, self._stop_loop, None)
        finally:
            self.ended.set()

    # The completer.

    def _complete(self) -> None:
        is_last = False
        while not is_last:
            some = [self._answers.get()]
            for _ in range(min(self._answers.qsize(), _MAX_ANSWERS)):
                some.append(self._answers.get())
            answers = [one for one in some if one is not None]
            is_last = len(answers) < len(some)
            try:
                self.native.complete([(id, text) for id, text, _ in answers])
            except BaseException as error:
                self._complete_each(answers, error)

    def _complete_each(self, answers: list[_Answer], error: BaseException) -> None:
        say(logging.ERROR, "answers cannot be given together", error=error)
        for id, text, is_publication in answers:
            try:
                self.native.complete([(id, text)])
            except BaseException as cause:
                refused = Permanent(str(cause), code="invalid_result")
                try:
                    self.native.complete([(id, failure_text(refused, is_publication))])
                except BaseException as last:
                    say(logging.ERROR, "an answer cannot be given", error=last)

    # The handlers.

    def _enter(self, call: Call) -> None:
        call.has_begun = True
        step = call.step
        if step is not None:
            _current.set(step)
            if self._attach is not None and step.traceparent:
                self._attach(step.traceparent)

    def _finish(self, call: Call, answer: str) -> None:
        if self._running.pop(call.id, None) is not None:
            self.answer(call.id, answer, call.is_publication)

    def _run(self, call: Call) -> None:
        self._base.copy().run(self._run_here, call)

    def _run_here(self, call: Call) -> None:
        try:
            self._enter(call)
            result = call.code.function(*call.arguments)
            if inspect.iscoroutine(result):
                # What a decorator has made of an `async def`.
                call.code, call.arguments = Code(_return, True), (result,)
                call.has_begun = False
                return self._in_loop(self._begin, [call])
            answer = call.answer(result)
        except BaseException as error:
            answer = _failed(call, error)
        self._finish(call, answer)

    def _begin(self, calls: list[Call]) -> None:
        for call in calls:
            if call.why is not None:
                self._abandon(call)
                continue
            coroutine = self._await(call)
            try:
                # The call keeps the task alive.
                call.task = self._base.copy().run(self.loop.create_task, coroutine)
            except BaseException as error:
                # A task factory of the caller's loop has failed.
                coroutine.close()
                self._finish(call, _failed(call, error))

    async def _await(self, call: Call) -> None:
        try:
            self._enter(call)
            answer = call.answer(await call.code.function(*call.arguments))
        except BaseException as error:
            answer = _failed(call, error)
        self._finish(call, answer)

    def _cancel_task(self, call: Call) -> None:
        if call.task is None or call.task.done():
            return
        call.task.cancel()
        if not call.has_begun:
            self._abandon(call)

    def _abandon(self, call: Call) -> None:
        """Answers a call that was cancelled before it has begun, and never will."""
        for argument in call.arguments:
            if inspect.iscoroutine(argument):
                argument.close()
        self._finish(call, _failed(call, asyncio.CancelledError()))

    # The loop.

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._watch.thread = threading.get_ident()
        try:
            while not self._is_loop_done:
                self._run_once()
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()

    def _run_once(self) -> None:
        # A task that a handler has made ends the loop by `sys.exit`, and any code by `loop.stop`:
        # what is one handler's mistake must not end the steps of all others.
        try:
            self.loop.run_forever()
            ended_by: BaseException | None = None
        except BaseException as error:
            ended_by = error
        if not self._is_loop_done:
            text = "a handler has stopped the event loop, which goes on"
            say(logging.WARNING, text, error=ended_by)

    def _stop_loop(self, _: Any) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            if task not in unbroken.tasks:
                task.cancel()
        stop = self.loop.create_task(_after(tasks))
        stop.add_done_callback(self._loop_is_done)

    def _loop_is_done(self, _: Any) -> None:
        self._is_loop_done = True
        self.loop.stop()


async def _return(coroutine: Any) -> Any:
    return await coroutine


async def _after(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def _guarded(function: Callable[..., None], *arguments: Any) -> None:
    """Calls what must not end the thread, whatever it raises."""
    try:
        function(*arguments)
    except BaseException as error:
        say(logging.ERROR, "a part of the library failed", error=error)


def _failed(call: Call, error: BaseException) -> str:
    if call.step is None and call.why and isinstance(error, asyncio.CancelledError):
        error = Retryable(f"stopped: {call.why}", code="cancelled")
    try:
        return call.failed(error)
    except BaseException as broken:
        # An exception that cannot even be described.
        text = f"{type(error).__name__}, which cannot be described: {type(broken).__name__}"
        kind = Permanent if isinstance(error, Permanent) else Retryable
        return failure_text(kind(text), call.is_publication)


class Replies:
    """Answers that event loops wait for."""

    def __init__(self, native: Native) -> None:
        self._native = native
        self._lock = threading.Lock()
        self._waiting: dict[int, asyncio.Future[str]] = {}
        self._early: dict[int, str] = {}

    async def ask(self, id: int, what: str, arguments: str) -> str:
        """Asks something for the step."""
        reply = self._native.ask_later(id, what, arguments)
        with self._lock:
            # The poller may have been faster.
            early = self._early.pop(reply, None)
            if early is not None:
                return early
            future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            self._waiting[reply] = future
        return await future

    def arrived(self, id: int, text: str) -> None:
        """Takes an answer from the poller."""
        with self._lock:
            future = self._waiting.pop(id, None)
            if future is None:
                self._early[id] = text
                return
        try:
            future.get_loop().call_soon_threadsafe(_resolve, future, text)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            pass


def _resolve(future: asyncio.Future[str], text: str) -> None:
    if not future.done():
        future.set_result(text)


class _Watch:
    """Warns of a handler that blocks the event loop, and says where it stands."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.thread = threading.get_ident()
        self._loop = loop
        self._asked = 0.0
        self._is_answered = True
        self._is_told = False

    def look(self) -> None:
        """Called by the poller now and then."""
        now = time.monotonic()
        if self._is_answered and now - self._asked > _PING_EVERY:
            self._asked, self._is_answered, self._is_told = now, False, False
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:
                self._is_answered = True
        elif not self._is_answered and not self._is_told and now - self._asked > _BLOCKED:
            self._is_told = True
            say(
                logging.WARNING,
                "a handler has blocked the event loop for over a second, at %s: make it `def`, or "
                "await what it waits for",
                self._place(),
            )

    def _answer(self) -> None:
        self._is_answered = True

    def _place(self) -> str:
        frame = sys._current_frames().get(self.thread)
        return place_of(traceback.extract_stack(frame)) if frame else "an unknown place"
