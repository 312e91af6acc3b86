"""Typed contexts: what fits, and what names its field."""

import enum
import sys
import types
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import (
    Any, Dict, List, Literal, NewType, Optional, Sequence, Tuple, TypedDict, Union, cast,
)  # fmt: skip
from uuid import UUID

import pytest

from pgtasker.convert import convert
from pgtasker.convert import convert as read_as
from pgtasker.errors import Permanent


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


class Switch(enum.Enum):
    ON = True


Cents = NewType("Cents", int)


@dataclass
class Line:
    item: str
    quantity: int = 1


@dataclass
class Order:
    order_id: int
    lines: List[Line]
    cents: "Cents" = Cents(0)
    rate: float = 1.0
    exact: Optional[Decimal] = None
    at: Optional[datetime] = None
    colour: Colour = Colour.RED
    parent: "Order | None" = None
    secret: str = field(default="s", init=False)


class Half(TypedDict, total=False):
    b: str


class Whole(Half):
    a: int


def test_a_dataclass_is_filled_to_its_depth() -> None:
    order = convert(
        {
            "order_id": 7,
            "lines": [{"item": "cup", "quantity": 2}, {"item": "tea"}],
            "cents": 5,
            "rate": 2,
            "exact": Decimal("0.12345678901234567890123"),
            "at": "2024-05-06T07:08:09Z",
            "colour": "blue",
            "parent": {"order_id": 6, "lines": []},
            "unknown": "left out",
            "secret": "left out too",
        },
        Order,
        "context",
    )
    assert order.lines == [Line("cup", 2), Line("tea")]
    assert (order.rate, order.colour, order.secret) == (2.0, Colour.BLUE, "s")
    assert order.exact == Decimal("0.12345678901234567890123")
    assert order.at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone.utc)
    assert order.parent == Order(6, [])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "context.order_id: missing"),
        ([], "context: expected an object, found a list"),
        ({"order_id": "7", "lines": []}, "context.order_id: expected an integer, found a string"),
        ({"order_id": True, "lines": []}, "context.order_id: expected an integer, found a boolean"),
        ({"order_id": 7.0, "lines": []}, "context.order_id: expected an integer, found a number"),
        ({"order_id": 7, "lines": [{"item": 1}]},
         "context.lines[0].item: expected a string, found an integer"),
        ({"order_id": 7, "lines": [{}]}, "context.lines[0].item: missing"),
        ({"order_id": 7, "lines": {}}, "context.lines: expected a list, found an object"),
        ({"order_id": 7, "lines": [], "rate": 10**400},
         "context.rate: the number is beyond what a float holds: take it as a Decimal"),
        ({"order_id": 7, "lines": [], "at": "secret"},
         "context.at: expected a date and time (ISO 8601), found another string"),
        ({"order_id": 7, "lines": [], "colour": "secret"},
         "context.colour: expected one of 'red', 'blue'"),
        ({"order_id": 7, "lines": [], "parent": {"order_id": 6}}, "context.parent.lines: missing"),
    ],
)  # fmt: skip
def test_a_misfit_names_its_field_and_quotes_no_value(value: Any, said: str) -> None:
    with pytest.raises(Permanent) as refused:
        convert(value, Order, "context")
    assert (str(refused.value), refused.value.code) == (said, "invalid_input")


@pytest.mark.parametrize(
    ("value", "to", "expected"),
    [
        ({"a": 1, "c": 2}, Whole, {"a": 1}),
        ({"a": 1, "b": "x"}, Whole, {"a": 1, "b": "x"}),
        ([1, "x"], Tuple[int, str], (1, "x")),
        ([1, 2], Tuple[int, ...], (1, 2)),
        ([1, 2], Sequence[int], [1, 2]),
        ({"a": [1]}, Dict[str, List[int]], {"a": [1]}),
        ("b", Literal["a", "b"], "b"),
        (1, Union[int, str], 1),
        (None, Optional[int], None),
        (0.1, Decimal, Decimal("0.1")),
        (3, float, 3.0),
        (2**60, float, 2.0**60),
        (10**23, float, 1e23),
        (2**53 + 1, Union[float, int], 2**53 + 1),
        (1, Level, Level.LOW),
        (True, Switch, Switch.ON),
        ("2024-05-06", date, date(2024, 5, 6)),
        (str(UUID(int=1)), UUID, UUID(int=1)),
        ([1, 1], set, {1}),
        ({"x": 1}, dict, {"x": 1}),
        ({"x": 1}, Any, {"x": 1}),
        (None, None, None),
    ],
)
def test_types_of_the_standard_library(value: Any, to: Any, expected: Any) -> None:
    converted = convert(value, to, "context")
    assert converted == expected and type(converted) is type(expected)


@pytest.mark.parametrize(
    ("value", "to", "said"),
    [
        ({"b": "x"}, Whole, "context.a: missing"),
        ([1], Tuple[int, str], "context: expected 2 items, found 1"),
        ("c", Literal["a", "b"], "context: expected one of 'a', 'b'"),
        (1.5, Union[int, str], "context: expected one of 2 types, found a number"),
        ({"a": [1, None]}, Dict[str, List[int]],
         "context.a[1]: expected an integer, found null"),
        (1, Optional[str], "context: expected a string, found an integer"),
        (True, Level, "context: expected one of 1, 2"),
        (1, Switch, "context: expected one of True"),
        ({"a": [2**53 + 1]}, Dict[str, List[float]],
         "context.a[0]: a float does not hold the number exactly: take it as a Decimal or int"),
        (Decimal("0.12345678901234567890123"), float,
         "context: a float does not hold the number exactly: take it as a Decimal or int"),
    ],
)  # fmt: skip
def test_misfits_of_other_types(value: Any, to: Any, said: str) -> None:
    with pytest.raises(Permanent, match=said.replace("[", r"\[")):
        convert(value, to, "context")


def test_unions_as_they_are_written_now() -> None:
    if sys.version_info >= (3, 10):
        assert convert(None, int | None, "context") is None  # type: ignore[arg-type]


def test_a_model_of_pydantic_names_its_field() -> None:
    pydantic = pytest.importorskip("pydantic")
    line: Any = pydantic.create_model("Line", quantity=(int, ...))
    order = pydantic.create_model("Order", lines=(List[line], ...), wait=(timedelta, timedelta(1)))
    assert convert({"lines": [{"quantity": 2}]}, order, "context").lines[0].quantity == 2
    with pytest.raises(Permanent) as refused:
        convert({"lines": [{"quantity": "secret"}], "wait": []}, order, "context")
    assert str(refused.value).startswith("context.lines[0].quantity: Input should be a valid int")
    assert "secret" not in str(refused.value) and "(and 1 more)" in str(refused.value)


def test_members_of_a_union_are_tried_in_its_own_order() -> None:
    text, convert = "2026-12-01", cast(Any, read_as)
    assert convert(text, str | date, "context") == text
    assert convert(text, date | str, "context") == date(2026, 12, 1)
    assert convert([text], list[str | date], "context") == [text]
    assert convert([text], list[date | str], "context") == [date(2026, 12, 1)]
    assert type(convert(5, Union[int, float], "context")) is int
    assert type(convert(5, Union[float, int], "context")) is float


def test_what_json_never_is_says_so() -> None:
    with pytest.raises(TypeError, match="JSON cannot be read as complex"):
        convert(1, complex, "context")


@pytest.mark.parametrize("digits", ["", ".4", ".405710437"])
def test_times_have_any_number_of_digits(digits: str) -> None:
    at = convert(f"2026-12-01T00:45:36{digits}Z", datetime, "context")
    assert (at.second, at.utcoffset()) == (36, timedelta(0))


def test_each_base_resolves_names_in_its_own_module(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "base_of_test": "Money = int\n"
        "@dataclasses.dataclass\nclass Base:\n    cents: Money\n",
        "own_of_test": "from base_of_test import Base\nMoney = str\n"
        "@dataclasses.dataclass\nclass Own(Base):\n    name: Money\n",
    }
    modules = {}
    for name, text in texts.items():
        modules[name] = module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        head = "from __future__ import annotations\nimport dataclasses\n"
        exec(head + text, vars(module))
    own = convert({"cents": 7, "name": "x"}, modules["own_of_test"].Own, "context")
    assert (own.cents, own.name) == (7, "x")
