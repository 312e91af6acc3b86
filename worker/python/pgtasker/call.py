"""One call of the user's code, and what is answered for it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from .capabilities import StepOutcome
from .context import StepContext
from .errors import Permanent, Retryable, StepError, failure_of
from .events import Publication
from .json_text import write
from .logging_bridge import say

SUBMITTED = '{"type":"submitted"}'
RELEASE = '{"type":"release"}'
SUCCESS = '{"type":"success","result":null}'


class Code(NamedTuple):
    """Something that the user gave to be called."""

    function: Callable[..., Any]
    is_async: bool

    @staticmethod
    def of(given: Any, method: str | None = None) -> Code:
        """A function, an object, or a class, of which each call gets an object of its own.

        :raises TypeError: it cannot be called
        """
        if not inspect.isclass(given):
            call = given if method is None else getattr(given, method, None)
            if not callable(call):
                raise TypeError(f"{given!r} cannot be called")
            return Code(call, _is_async(call))
        name = method or ("call" if hasattr(given, "call") else "__call__")
        if not callable(getattr(given, name, None)):
            raise TypeError(f"class {given.__name__} has no method `call`")

        def function(*arguments: Any) -> Any:
            return getattr(given(), name)(*arguments)

        return Code(function, _is_async(getattr(given, name)))


def _is_async(function: Any) -> bool:
    call = getattr(function, "__call__", None)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


class Call:
    """What the user's code is called with, by the id under which it is answered."""

    __slots__ = (
        "answer", "arguments", "code", "failed", "has_begun", "id", "is_publication", "step",
        "task", "why",
    )  # fmt: skip

    def __init__(
        self,
        id: int,
        code: Code,
        arguments: tuple[Any, ...],
        step: StepContext | None,
        answer: Callable[[Any], str],
        failed: Callable[[BaseException], str],
        is_publication: bool = False,
    ) -> None:
        self.id, self.code, self.arguments, self.step = id, code, arguments, step
        self.answer, self.failed = answer, failed
        self.is_publication = is_publication
        self.has_begun = False
        self.task: asyncio.Task[None] | None = None
        self.why: str | None = None
        """Why it should stop; None: it may go on."""


class NotHere(Exception):
    """This worker has no such handler."""


def step_call(id: int, handler: Code, step: StepContext) -> Call:
    """A step's handler."""
    return Call(
        id,
        handler,
        (step,),
        step,
        lambda result: outcome(result, step),
        lambda error: failed(error, step),
    )


def outcome(result: Any, step: StepContext) -> str:
    """What a handler's result means, as JSON.

    :raises InvalidValue: it has no form in JSON
    """
    if step._has_committed:
        return SUBMITTED
    if isinstance(result, StepOutcome):
        return result.text()
    return f'{{"type":"success","result":{write(result, "result")}}}'


def failed(error: BaseException, step: StepContext | None) -> str:
    """What a handler's exception means, as JSON."""
    if step is not None and step._has_committed:
        say(logging.WARNING, "the handler failed after its step had been completed", error=error)
        return SUBMITTED
    if isinstance(error, NotHere):
        return RELEASE
    if isinstance(error, asyncio.CancelledError) and step is not None and step._why:
        error = Retryable(f"stopped: {step._why}", code="cancelled")
    elif not isinstance(error, StepError):
        say(logging.WARNING, "a handler failed", error=error)
    return write(failure_of(error), "failure")


def publication(event: Any) -> str:
    """What a publisher has returned, as JSON."""
    if event is None:
        return "null"
    if not isinstance(event, Publication):
        text = f"a publisher returns the event or None, not {type(event).__name__}"
        raise Permanent(text)
    payload, metadata = write(event.payload, "event"), write(event.metadata, "event's metadata")
    return f'{{"payload":{payload},"metadata":{metadata}}}'


def not_published(error: BaseException) -> str:
    """What a publisher's exception means, as JSON."""
    return failure_text(error, True)


def failure_text(error: BaseException, is_publication: bool) -> str:
    """A failure as JSON: where an event is asked for, a step's would be read as an event."""
    failure = failure_of(error)
    return write({"error": failure["message"]} if is_publication else failure, "failure")
