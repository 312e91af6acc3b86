"""The three handlers, and what is done to an event about a payment before it leaves its step."""

from __future__ import annotations

from dataclasses import dataclass

from pgtasker import Permanent, Publication, StepContext, Worker

PARCEL = 4
"""Pieces in one parcel."""

worker = Worker("orders")


@dataclass
class Line:
    """So many of one item; its price is in cents, 0 for a gift."""

    item: str
    quantity: int
    cents: int


@dataclass
class Order:
    """The context of a task."""

    order_id: int
    card: str
    currency: str
    lines: list[Line]

    @property
    def amount(self) -> int:
        """What is to be paid, in cents."""
        return sum(line.quantity * line.cents for line in self.lines)

    @property
    def parcels(self) -> int:
        """How many it is packed in."""
        return -(-sum(line.quantity for line in self.lines) // PARCEL)

    @property
    def is_card_valid(self) -> bool:
        """Whether the last digit of the card's number fits the others, by Luhn."""
        digits = [int(digit) for digit in reversed(self.card)]
        doubled = [2 * digit - 9 * (digit > 4) for digit in digits[1::2]]
        return (sum(digits[::2]) + sum(doubled)) % 10 == 0


@worker.handler("order_reserve")
def reserve(ctx: StepContext) -> dict[str, int]:
    """Puts the goods aside, and tells of each line, which its result does not."""
    order = ctx.context(Order)
    for line in order.lines:
        ctx.publish(
            "stock.reserved",
            {"order_id": order.order_id, "item": line.item, "quantity": line.quantity},
        )
    return {"lines": len(order.lines)}


@worker.handler("order_charge")
async def charge(ctx: StepContext) -> dict[str, object]:
    """Its result is what ``payment.processed`` tells, its failure what ``payment.failed`` does."""
    order = ctx.context(Order)
    if not order.is_card_valid:
        raise Permanent("the card was refused", code="card_refused")
    return {
        "order_id": order.order_id,
        "amount": order.amount,
        "currency": order.currency,
        "card": order.card,
    }


@worker.handler("order_ship")
def ship(ctx: StepContext) -> dict[str, int]:
    """Packs it."""
    order = ctx.context(Order)
    return {"order_id": order.order_id, "parcels": order.parcels}


@worker.publisher("payment.*")
def publish_payment(event: Publication, ctx: StepContext) -> Publication | None:
    """A card's number never leaves whole, and of a payment of nothing nobody is told."""
    if event.payload.get("amount") == 0:
        return None
    if "card" in event.payload:
        event.payload["card"] = f"**** {event.payload['card'][-4:]}"
    event.metadata = {"order_id": ctx.context(Order).order_id, "attempt": ctx.attempt}
    return event
