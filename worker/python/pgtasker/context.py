"""The step that a handler runs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload
from uuid import UUID

from .capabilities import Api, Batchable, Decision
from .convert import convert
from .errors import Permanent, from_failure
from .events import check_name
from .json_text import read, write
from .parents import ParentPages

if TYPE_CHECKING:
    from .transaction import StepTransaction

T = TypeVar("T")
_current: ContextVar[StepContext | None] = ContextVar("pgtasker_step", default=None)


def current() -> StepContext | None:
    """The step that runs in this thread or task; None: none does."""
    return _current.get()


class Asks(Protocol):
    """Who answers what a step asks; texts are JSON."""

    def ask(self, id: int, what: str, arguments: str) -> str:
        """Waits for the answer."""

    async def ask_later(self, id: int, what: str, arguments: str) -> str:
        """The same within an event loop."""


class StepContext(Api, Decision, Batchable):
    """The step that a handler runs: what it gets, and what it can do."""

    def __init__(self, item: dict[str, Any], state: Any = None, asks: Asks | None = None) -> None:
        self._item, self._asks = item, asks
        self.state = state
        """What the worker was made with, as ``Worker(state=…)``."""
        self._why: str | None = None
        self._has_committed = False

    def __repr__(self) -> str:
        # Never its data.
        return f"<StepContext {self._item['task_id']} {self.step} attempt {self.attempt}>"

    def _step(self) -> StepContext:
        return self

    @property
    def task_id(self) -> UUID:
        """The task."""
        return UUID(self._item["task_id"])

    @property
    def step(self) -> str:
        """The step's name; an instance of a batch has its number in it, as in ``load_007``."""
        return str(self._item["step"])

    @property
    def handler(self) -> str:
        """The name by which the handler was called."""
        return str(self._item["handler"])

    @property
    def attempt(self) -> int:
        """From 1."""
        return int(self._item["attempt"])

    @property
    def claim_no(self) -> int:
        """How many times the step has been claimed, this one included."""
        return int(self._item["claim_no"])

    @property
    def correlation_id(self) -> UUID | None:
        """The caller's id for everything that belongs together."""
        text = self._item.get("correlation_id")
        return None if text is None else UUID(text)

    @property
    def traceparent(self) -> str | None:
        """The step's place in the caller's trace, as W3C writes it."""
        return self._item.get("traceparent")

    @property
    def timeout(self) -> float:
        """Seconds that the handler may take."""
        return float(self._item["timeout_ms"] / 1_000)

    @property
    def idempotency_key(self) -> str:
        """The same on every attempt: what calls over HTTP carry, for calls by other means."""
        return str(self._item["idempotency_key"])

    @property
    def is_batch_instance(self) -> bool:
        """Whether the step is one instance of a batch worker."""
        return bool(self._item["is_batch_instance"])

    @overload
    def context(self) -> Any: ...
    @overload
    def context(self, type: type[T]) -> T: ...
    def context(self, type: Any = None) -> Any:
        """The task's input, as JSON or as this type.

        :raises Permanent: ``invalid_input``: it does not fit; the message names the field
        """
        return self._document("context", type)

    @overload
    def config(self) -> Any: ...
    @overload
    def config(self, type: type[T]) -> T: ...
    def config(self, type: Any = None) -> Any:
        """The handler's config in the template; like :meth:`context`."""
        return self._document("config", type)

    @overload
    def inputs(self) -> Any: ...
    @overload
    def inputs(self, type: type[T]) -> T: ...
    def inputs(self, type: Any = None) -> Any:
        """What the template makes as its inputs, or an instance's cursor; like :meth:`context`."""
        return self._document("inputs", type)

    @overload
    def parent(self, step: str) -> Any: ...
    @overload
    def parent(self, step: str, type: type[T]) -> T: ...
    def parent(self, step: str, type: Any = None) -> Any:
        """The result of this parent, as JSON or as this type.

        :raises Permanent: ``invalid_input``: there is no such parent, or it does not fit;
            ``input_too_large``: only :meth:`parent_pages` can read it
        """
        parents = self._item["parents"]
        if step not in parents and self._item.get("is_paged"):
            text = f"parents.{step}: too large for a claim: read it with ctx.parent_pages"
            raise Permanent(text, code="input_too_large")
        if step not in parents:
            known = ", ".join(sorted(parents)) or "none"
            text = f"parents.{step}: not a parent of step {self.step} (its parents: {known})"
            raise Permanent(text, code="invalid_input")
        return parents[step] if type is None else convert(parents[step], type, f"parents.{step}")

    @property
    def parents(self) -> Mapping[str, Any]:
        """The results of the parents, by name."""
        parents: Mapping[str, Any] = self._item["parents"]
        return parents

    @overload
    def parent_pages(self) -> ParentPages[Any]: ...
    @overload
    def parent_pages(self, type: type[T]) -> ParentPages[T]: ...
    def parent_pages(self, type: Any = None) -> ParentPages[Any]:
        """The results of the parents in pages, for a handler registered with ``paged=True``."""
        return ParentPages(self, type)

    @property
    def cancelled(self) -> threading.Event:
        """Set once the handler should stop: its task was cancelled, its claim was lost, its time
        is up, or the worker stops and the grace period is over. An ``async def`` handler is
        cancelled as well."""
        event: threading.Event | None = self.__dict__.get("_cancelled")
        if event is None:
            event = self.__dict__.setdefault("_cancelled", threading.Event())
            # Cancelled meanwhile, and not seen there.
            if self._why is not None:
                event.set()
        return event

    @property
    def cancel_reason(self) -> str | None:
        """``cancelled``, ``timeout``, or ``stopping``; None: the handler may go on."""
        return self._why

    def _cancel(self, why: str) -> None:
        self._why = why
        event: threading.Event | None = self.__dict__.get("_cancelled")
        if event is not None:
            event.set()

    def publish(self, name: str, payload: Any = None) -> None:
        """Publishes an event that the template declares, with the step's result.

        :raises Permanent: ``invalid_result``: the payload has no form in JSON
        """
        check_name(name)
        arguments = f'{{"name":{write(name, "event")},"payload":{write(payload, f"event {name}")}}}'
        # It is only noted, which takes no time.
        self._ask("publish", arguments)

    def transaction(self, connection: Any) -> StepTransaction:
        """A transaction on the caller's own connection to Tasker's database (psycopg 3 or
        SQLAlchemy), in which the step is completed: ``with ctx.transaction(c) as tx``, for async
        connections ``async with``."""
        from .transaction import StepTransaction

        return StepTransaction(self, connection)

    def _checkpoint(self) -> Any:
        return self._item.get("checkpoint")

    def _document(self, name: str, type: Any) -> Any:
        value = self._item[name]
        return value if type is None else convert(value, type, name)

    def _asked(self) -> tuple[Asks, int]:
        if self._asks is None:
            raise RuntimeError("a publisher cannot ask anything of its step, which has ended")
        return self._asks, self._item["id"]

    def _ask(self, what: str, arguments: str) -> Any:
        asks, id = self._asked()
        return _value(asks.ask(id, what, arguments))

    async def _ask_later(self, what: str, arguments: str) -> Any:
        asks, id = self._asked()
        return _value(await asks.ask_later(id, what, arguments))


def _value(answer: str) -> Any:
    answered = read(answer)
    if "error" in answered:
        raise from_failure(answered["error"])
    return answered.get("value")
