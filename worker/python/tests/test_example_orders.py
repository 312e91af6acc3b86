"""The example of orders: what listeners make of its events is what plain Python makes of them."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, TASKER

FOLDER = ROOT / "examples/orders/python"


def test_it_has_the_template_and_the_tables_of_the_other_languages() -> None:
    template = (ROOT / "examples/templates/orders.yaml").read_text()
    assert Path(FOLDER, "orders.yaml").read_text() == template
    schema = (ROOT / "examples/src/orders/schema.sql").read_text()
    assert Path(FOLDER, "schema.sql").read_text() == schema


def expected(orders: list[Any]) -> tuple[int, Counter[str], Counter[str], int, list[Any]]:
    """What plain Python makes of the orders: complete, reserved, paid, refused, and mails."""
    reserved: Counter[str] = Counter()
    paid: Counter[str] = Counter()
    complete, refused, mails = 0, 0, []
    for order in orders:
        for line in order.lines:
            reserved[line.item] += line.quantity
        if not order.is_card_valid:
            refused += 1
            mails.append((order.order_id, "Not paid: the card was refused"))
            continue
        complete += 1
        mails.append((order.order_id, f"On its way, parcels: {order.parcels}"))
        if order.amount > 0 and order.currency in ("EUR", "USD"):
            paid[order.currency] += order.amount
    return complete, reserved, paid, refused, sorted(mails)


def test_orders_from_the_template_to_the_books(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    apply = [TASKER, "template", "apply", str(FOLDER / "orders.yaml")]
    subprocess.run(apply, check=True, stdout=subprocess.DEVNULL)
    import program

    orders = [program.order(number) for number in range(1, 61)]
    complete, figures, paid, mails = program.process(orders)
    want = expected(orders)
    assert complete == want[0] == 50
    assert (figures.reserved, figures.paid, figures.refused) == (want[1], want[2], want[3])
    assert (paid, mails) == (want[2], want[4])


def test_its_orders_are_those_of_the_other_languages() -> None:
    import program

    first, gift = program.order(1), program.order(5)
    assert (first.amount, first.currency, first.parcels) == (7_090, "EUR", 1)
    assert gift.amount == 0
    assert [program.order(n).is_card_valid for n in (1, 2, 3, 6)] == [True, True, True, False]
