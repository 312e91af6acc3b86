"""What is made of durable events: payments are booked, and customers get mails."""

from __future__ import annotations

import os
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from pgtasker import DomainEvent, EventConsumer

KEEP_PAYMENT = """
insert into shop.payments (event_id, correlation_id, order_id, amount, currency)
select %(id)s, %(run)s, p.order_id, p.amount, p.currency
from jsonb_to_record(%(payload)s) p (order_id bigint, amount bigint, currency text)
on conflict (event_id) do nothing"""
KEEP_MAIL = """
insert into shop.mails (event_id, correlation_id, order_id, subject)
values (%(id)s, %(run)s, %(order)s, %(subject)s)
on conflict (event_id) do nothing"""


def database_url() -> str:
    """The one database of the application and of Tasker."""
    return os.environ["DATABASE_URL"]


consumer = EventConsumer("orders")


@consumer.handler
async def keep(event: DomainEvent) -> None:
    """The effect of one event. Called twice with the same one, it does nothing the second time."""
    said = event.payload
    of: dict[str, Any] = {"id": event.id, "run": event.correlation_id}
    if event.name == "payment.processed":
        statement, of = KEEP_PAYMENT, {**of, "payload": Jsonb(said)}
    elif event.name == "order.shipped":
        subject = f"On its way, parcels: {said['parcels']}"
        statement, of = KEEP_MAIL, {**of, "order": said["order_id"], "subject": subject}
    elif event.name == "payment.failed":
        subject = f"Not paid: {said['message']}"
        order = event.metadata["order_id"]
        statement, of = KEEP_MAIL, {**of, "order": order, "subject": subject}
    else:
        return
    async with await psycopg.AsyncConnection.connect(database_url()) as connection:
        await connection.execute(statement, of)
