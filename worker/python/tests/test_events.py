"""Events: published, changed and kept back, heard, and consumed."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from support import Place, running, until

from pgtasker import (
    DomainEvent, EventConsumer, Permanent, Publication, Retryable, StepContext,
)  # fmt: skip

EVENTS = [
    {"name": "stock.reserved", "delivery": "fast"},
    {"name": "payment.processed", "delivery": "broadcast"},
    {"name": "payment.late", "delivery": "durable"},
]


def events_flow(place: Place) -> None:
    """A flow of one step that may publish events."""
    step = {"name": "h", "handler": {"callable": "h"}, "publishes_events": EVENTS}
    place.apply([step])


def queued(place: Place) -> list[Any]:
    rows = place.db.execute(
        f"select message from pgmq.q_{place.namespace}_domain_events order by msg_id"
    )
    return [row[0] for row in rows]


def test_publishers_have_the_last_word_and_subscribers_hear(place: Place) -> None:
    worker = place.worker()
    heard: list[DomainEvent] = []

    @worker.handler("h")
    def handler(ctx: StepContext) -> str:
        ctx.publish("stock.reserved", {"n": 2**70})
        for amount in (0, 1, 2):
            ctx.publish("payment.processed", {"amount": amount})
        return "done"

    @worker.publisher("payment.*")
    async def publish(event: Publication, ctx: StepContext) -> Publication | None:
        if event.name == "payment.late" or event.payload["amount"] == 0:
            return None
        if event.payload["amount"] == 1:
            raise ValueError("no")
        event.payload["card"] = "****"
        event.metadata = {"attempt": ctx.attempt, "context": ctx.context()}
        return event

    events_flow(place)
    stock, payments = worker.subscribe("stock.*"), worker.subscribe("payment.*")

    def hear() -> None:
        heard.extend(stock)

    async def hear_async() -> None:
        async for event in payments:
            heard.append(event)

    ears = [threading.Thread(target=hear)]
    ears += [threading.Thread(target=asyncio.run, args=[hear_async()])]
    for ear in ears:
        ear.start()
    with running(worker):
        task = place.enqueue({"order_id": 7})
        assert place.result(task) == {"h": "done"}
        until(lambda: len(heard) == 2)
    for ear in ears:
        ear.join(10)
        assert not ear.is_alive()
    by_name = {event.name: event for event in heard}
    assert by_name["stock.reserved"].payload == {"n": 2**70}
    paid = by_name["payment.processed"]
    assert paid.payload == {"amount": 2, "card": "****"} and paid.task_id == task
    assert paid.metadata == {"attempt": 1, "context": {"order_id": 7}}
    assert [one["id"] for one in queued(place)] == [str(paid.id)]
    refused = place.db.execute(
        "select detail from tasker.dead_letters where queue = %s",
        [f"{place.namespace}_domain_events"],
    ).fetchall()
    assert len(refused) == 1 and "ValueError: no (test_events.py:" in refused[0][0]


def test_a_consumer_succeeds_tries_again_and_gives_up(place: Place) -> None:
    worker = place.worker()
    worker.handler("h", lambda ctx: ctx.publish("payment.late", ctx.context()["say"]))
    worker.publisher("payment.processed", lambda event, ctx: None)
    events_flow(place)
    consumer = EventConsumer(place.namespace, database_url=place.url, visible=5)
    seen: list[Any] = []

    @consumer.handler
    async def consume(event: DomainEvent) -> None:
        await asyncio.sleep(0)
        seen.append(event.payload)
        if event.payload == "again" and seen.count("again") == 1:
            raise Retryable("again", retry_after=0.1)
        if event.payload == "never":
            raise Permanent("no such order")

    with running(worker):
        for payload in ("good", "again", "never"):
            place.result(place.enqueue({"say": payload}))
    with running(consumer):
        until(lambda: not queued(place))
    assert sorted(seen) == ["again", "again", "good", "never"]
    letters = place.db.execute(
        "select detail from tasker.dead_letters where queue = %s",
        [f"{place.namespace}_domain_events"],
    ).fetchall()
    assert len(letters) == 1 and "no such order" in letters[0][0]
    assert consumer.id is None
