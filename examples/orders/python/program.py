"""``DATABASE_URL=… python program.py``: places orders, runs them, and looks at what comes of it.

The template must have been applied: ``tasker template apply orders.yaml``. In production the
worker and the consumer are processes of their own: ``pgtasker-worker handlers:worker`` and
``pgtasker-worker books:consumer``.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from books import consumer, database_url
from handlers import Line, Order, worker

from pgtasker import EventSubscription, client

GOODS = [("kettle", 4_900), ("teapot", 3_100), ("cup", 890), ("tea", 1_250)]
CARDS = ["4242424242424242", "5555555555554444", "378282246310005"]
REFUSED_CARD = "4242424242424241"
SETTLED = ("complete", "error", "cancelled", "blocked_by_failures")


def order(number: int) -> Order:
    """The same for each number. Every sixth is by a card that is refused, every fifth a gift, and
    every eighth is paid in a currency that ``payment.processed`` does not know."""
    lines = []
    for n in range(number % 3 + 1):
        item, cents = GOODS[(number + n) % len(GOODS)]
        cents = 0 if number % 5 == 0 else cents
        lines.append(Line(item, 1 + (number * 5 + n * 3) % 4, cents))
    card = REFUSED_CARD if number % 6 == 0 else CARDS[number % 3]
    currency = "GBP" if number % 8 == 0 else "USD" if number % 2 == 0 else "EUR"
    return Order(number, card, currency, lines)


@dataclass
class Figures:
    """Kept as things happen, from fast events: gone with the process."""

    reserved: Counter[str] = field(default_factory=Counter)
    paid: Counter[str] = field(default_factory=Counter)
    refused: int = 0

    def follow(self, events: EventSubscription, run: uuid.UUID) -> None:
        """Until the worker ends."""
        for event in events:
            # The worker takes whatever waits in its namespace.
            if event.correlation_id != run:
                continue
            said = event.payload
            if event.name == "stock.reserved":
                self.reserved[said["item"]] += said["quantity"]
            elif event.name == "payment.processed":
                self.paid[said["currency"]] += said["amount"]
            elif event.name == "payment.failed":
                self.refused += 1


def place(db: psycopg.Connection[Any], run: uuid.UUID, orders: list[Order]) -> list[uuid.UUID]:
    """A task for each order, all or none: they start once this transaction commits."""
    with db.transaction():
        return [
            client.enqueue_task(db, "orders", "order", order, correlation_id=run)
            for order in orders
        ]


def settle(db: psycopg.Connection[Any], tasks: list[uuid.UUID]) -> int:
    """Waits until all have ended; returns how many are complete."""
    complete = 0
    for task in tasks:
        while (state := client.task_status(db, task)["state"]) not in SETTLED:
            time.sleep(0.05)
        complete += state == "complete"
    return complete


def consumed(db: psycopg.Connection[Any], run: uuid.UUID) -> None:
    """Waits until no event of the run is in the queue any more."""
    waiting = (
        "select count(*) from pgmq.q_orders_domain_events "
        "where message ->> 'correlation_id' = %s"
    )
    while (row := db.execute(waiting, [str(run)]).fetchone()) and row[0] > 0:
        time.sleep(0.05)


def books(db: psycopg.Connection[Any], run: uuid.UUID) -> tuple[Counter[str], list[Any]]:
    """What the tables have of a run: cents in each currency, and order and subject of mails."""
    paid: Counter[str] = Counter()
    rows = db.execute(
        "select currency, amount from shop.payments where correlation_id = %s", [run]
    )
    for currency, amount in rows:
        paid[currency] += amount
    mails = "select order_id, subject from shop.mails where correlation_id = %s order by 1, 2"
    return paid, db.execute(mails, [run]).fetchall()


def process(orders: list[Order]) -> tuple[int, Figures, Counter[str], list[Any]]:
    """Runs them with a worker and a consumer in this process."""
    run, figures = uuid.uuid4(), Figures()
    followers = [
        threading.Thread(target=figures.follow, args=(worker.subscribe(pattern), run))
        for pattern in ("stock.*", "payment.*")
    ]
    with psycopg.connect(database_url(), autocommit=True) as db:
        db.execute(Path(__file__).with_name("schema.sql").read_text())
        worker.start()
        consumer.start()
        for follower in followers:
            follower.start()
        complete = settle(db, place(db, run, orders))
        consumed(db, run)
        worker.stop()
        consumer.stop()
        for follower in followers:
            follower.join()
        return (complete, figures, *books(db, run))


def main() -> None:
    """Prints what comes of a dozen orders."""
    orders = [order(number) for number in range(1, 13)]
    complete, figures, paid, mails = process(orders)
    print(f"{complete} of {len(orders)} orders are complete")
    print(f"reserved {dict(figures.reserved)}, paid {dict(figures.paid)}")
    print(f"{figures.refused} cards refused")
    print(f"booked {dict(paid)}")
    for number, subject in mails:
        print(f"mail about order {number:>2}: {subject}")


if __name__ == "__main__":
    main()
