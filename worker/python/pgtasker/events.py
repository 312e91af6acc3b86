"""Domain events: those that arrive, those that are about to be published, and subscriptions."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from .convert import timestamp

_MAX_WAITING = 1_024
"""Events that wait for a subscriber, which then loses the oldest."""


@dataclass(frozen=True)
class DomainEvent:
    """An event that a step has announced."""

    id: UUID
    """The key by which consumers know an event that they get again."""
    name: str
    """Such as ``payment.processed``."""
    version: str
    """The version of its form, as the template declares."""
    namespace: str
    """The task's namespace."""
    template: str
    """The name of the task's template."""
    task_id: UUID
    """The task."""
    step: str
    """The step that announces it."""
    claim_no: int
    """The claim of the step whose result was accepted with it."""
    correlation_id: UUID | None
    """The caller's id for everything that belongs together."""
    traceparent: str | None
    """Its place in the caller's trace."""
    time: datetime
    """When the step had ended."""
    payload: Any = field(repr=False)
    """What it says."""
    metadata: Any = field(repr=False)
    """What a publisher has added."""

    @staticmethod
    def from_json(event: dict[str, Any]) -> DomainEvent:
        """The event of a JSON document."""
        correlation = event.get("correlation_id")
        return DomainEvent(
            id=UUID(event["id"]),
            name=event["name"],
            version=event["version"],
            namespace=event["namespace"],
            template=event["template"],
            task_id=UUID(event["task_id"]),
            step=event["step"],
            claim_no=event["claim_no"],
            correlation_id=None if correlation is None else UUID(correlation),
            traceparent=event.get("traceparent"),
            time=timestamp(event["time"]),
            payload=event.get("payload"),
            metadata=event.get("metadata"),
        )


@dataclass
class Publication:
    """An event that is about to be published; a publisher may change payload and metadata."""

    name: str
    """Such as ``payment.processed``; changing it changes nothing."""
    payload: Any = field(repr=False)
    """What it says."""
    metadata: Any = field(default=None, repr=False)
    """For those who consume it."""


def check_name(name: str) -> None:
    """Raises for what is no text, whose message would say less later."""
    if not isinstance(name, str):
        raise TypeError(f"an event's name is a string, not {type(name).__name__}")


class EventSubscription:
    """The fast and broadcast events of a pattern, as the worker's steps announce them: by ``for``
    in a thread, by ``async for`` in a loop. It ends with its worker."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        """Such as ``payment.*``."""
        self.lost = 0
        """Events that came faster than they were taken."""
        self._waiting: deque[DomainEvent] = deque()
        self._changed = threading.Condition()
        self._wakers: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._has_ended = False

    def _put(self, event: DomainEvent) -> None:
        with self._changed:
            if len(self._waiting) == _MAX_WAITING:
                self._waiting.popleft()
                self.lost += 1
            self._waiting.append(event)
            self._wake()

    def _open(self) -> None:
        self._has_ended = False

    def _end(self) -> None:
        with self._changed:
            self._has_ended = True
            self._wake()

    def _wake(self) -> None:
        self._changed.notify_all()
        for loop, event in self._wakers:
            # A loop that has been closed waits for nothing.
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    def __iter__(self) -> Iterator[DomainEvent]:
        while True:
            with self._changed:
                while not self._waiting and not self._has_ended:
                    self._changed.wait()
                if not self._waiting:
                    return
                event = self._waiting.popleft()
            yield event

    async def __aiter__(self) -> AsyncIterator[DomainEvent]:
        waker = (asyncio.get_running_loop(), asyncio.Event())
        with self._changed:
            self._wakers.append(waker)
        try:
            while True:
                waker[1].clear()
                with self._changed:
                    event = self._waiting.popleft() if self._waiting else None
                    has_ended = self._has_ended
                if event is not None:
                    yield event
                elif has_ended:
                    return
                else:
                    await waker[1].wait()
        finally:
            with self._changed:
                self._wakers.remove(waker)
