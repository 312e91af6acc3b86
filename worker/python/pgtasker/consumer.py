"""A consumer of a namespace's durable and broadcast events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .call import SUCCESS, Call, Code, failed
from .events import DomainEvent
from .program import Program, load, milliseconds, options

if TYPE_CHECKING:
    from ._native import Native

F = TypeVar("F", bound=Callable[..., Any])


class EventConsumer(Program):
    """Hands each event to its handler, at least once: ``event.id`` is the key by which one that
    comes again is known. An exception lets it come again, after growing delays; after
    ``max_attempts``, or :class:`~pgtasker.Permanent`, it becomes a dead letter.

    :param namespace: whose events it reads
    :param database_url: takes precedence over ``TASKER_DATABASE_URL`` and ``DATABASE_URL``
    :param concurrency: events at once
    :param visible: seconds for which an event is kept from other consumers; its handler may take
        three quarters of it
    :param max_attempts: until an event becomes a dead letter
    :param grace: seconds that running handlers have after a shutdown
    :param poll_only: never ``LISTEN``, for poolers
    :param log: as of :class:`~pgtasker.Worker`
    """

    def __init__(
        self,
        namespace: str,
        *,
        database_url: str | None = None,
        concurrency: int | None = None,
        visible: float | None = None,
        max_attempts: int | None = None,
        grace: float | None = None,
        poll_only: bool | None = None,
        log: str | None = None,
    ) -> None:
        super().__init__()
        self._options: dict[str, Any] = {
            "database_url": database_url,
            "namespace": namespace,
            "concurrency": concurrency,
            "visible_ms": milliseconds(visible),
            "max_attempts": max_attempts,
            "grace_ms": milliseconds(grace),
            "poll_only": poll_only,
            "log": log,
        }
        self._handler: Code | None = None

    def handler(self, function: F) -> F:
        """Registers the one handler, a plain function or an ``async def``: called with the
        :class:`~pgtasker.DomainEvent`.

        :raises ValueError: there is one
        """
        if self._handler is not None:
            raise ValueError("a consumer has one handler")
        self._handler = Code.of(function)
        return function

    def _launch(self) -> Native:
        if self._handler is None:
            raise ValueError("the consumer has no handler")
        return load().start_consumer(options(self._options))

    def _receive(self, item: dict[str, Any]) -> Call | None:
        if item["type"] != "domain_event" or self._handler is None:
            return None
        event = DomainEvent.from_json(item["event"])
        return Call(
            item["id"],
            self._handler,
            (event,),
            None,
            lambda result: SUCCESS,
            lambda error: failed(error, None),
        )
