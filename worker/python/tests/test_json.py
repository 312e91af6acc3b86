"""JSON both ways: digit by digit, and with a place for what it cannot hold."""

import dataclasses
import enum
import math
import typing
import unittest.mock
from datetime import date, datetime, time, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from pgtasker import StepOutcome
from pgtasker.errors import Permanent
from pgtasker.json_text import read, read_item, write

DIGITS = (
    '{"integer": 123456789012345678901234567890, "decimal": 0.1234567890123456789012345, '
    '"beyond": 1' + "0" * 400 + ', "small": -0.000000000000000000000000000000000001234567890123}'
)


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    at: datetime


def test_every_digit_passes_both_ways() -> None:
    value = read(DIGITS)
    assert value["integer"] == 123456789012345678901234567890
    assert value["decimal"] == Decimal("0.1234567890123456789012345")
    assert Decimal(write(value["small"], "r")) == Decimal("-1.234567890123e-36")
    assert read(write(value, "result")) == value


def test_a_float_is_one_where_it_is_the_same_number() -> None:
    floats = "0.1, 1.10, 1e2, 1e400, 5e-324, 0.30000000000000004, 1e-400"
    values = read(f"[{floats}, 123456789.123456789]")
    kinds = [type(value) for value in values]
    assert kinds == [float, float, float, Decimal, float, float, Decimal, Decimal]
    assert values[3] == Decimal("1e400")


def test_an_item_says_whether_it_has_such_numbers() -> None:
    number = "0.1234567890123456789012345"
    plain = f'{{"type":"step","id":1,"context":{number}}}'
    assert type(read_item(plain)["context"]) is float
    named = f'{{"type":"step","id":1,"context":{number},"inexact":["/context"]}}'
    assert read_item(named)["context"] == Decimal(number)
    other = f'{{"type":"event","event":{number}}}'
    assert read_item(other)["event"] == Decimal(number)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "{", "1" * 5000])
def test_what_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        read(text)


def test_known_types_have_a_form() -> None:
    value = {
        "at": datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone.utc),
        "day": date(2024, 5, 6),
        "time": time(7, 8),
        "id": UUID(int=7),
        "colour": Colour.RED,
        "point": Point(1, datetime(2024, 1, 1)),
        "pair": (1, 2.5),
        "money": Decimal("1.10"),
        "": None,
        "text": 'ü "quoted" \u2028 😀',
        "big": 2**70,
    }
    assert read(write(value, "result")) == {
        "at": "2024-05-06T07:08:09+00:00",
        "day": "2024-05-06",
        "time": "07:08:00",
        "id": str(UUID(int=7)),
        "colour": "red",
        "point": {"x": 1, "at": "2024-01-01T00:00:00"},
        "pair": [1, 2.5],
        "money": 1.1,
        "": None,
        "text": 'ü "quoted" \u2028 😀',
        "big": 2**70,
    }
    assert write(Decimal("1.10"), "result") == "1.10"


def test_a_model_is_written_by_its_fields() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Model", amount=(Decimal, ...), at=(datetime, ...))
    text = write([model(amount="0.10", at=datetime(2024, 1, 1))], "result")
    assert text == '[{"amount":0.10,"at":"2024-01-01T00:00:00"}]'


def nested(levels: int) -> typing.Any:
    value: typing.Any = 1
    for _ in range(levels):
        value = [value]
    return value


def cycle() -> typing.Any:
    value: dict[str, typing.Any] = {}
    value["again"] = [value]
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [1, math.nan]}, "nan is no JSON, at /a/1"),
        ([math.inf], "inf is no JSON, at /0"),
        ({"a/b": {"c~d": "\ud800"}}, "a string holds half of a surrogate pair, at /a~1b/c~0d"),
        ({"\udfff": 1}, "a key: a string holds half of a surrogate pair, at the whole"),
        ({"a": {1: 2}}, "a key is an int, not a string, at /a"),
        ({"a": {None: 2}}, "a key is a NoneType, not a string, at /a"),
        ({"a": {1, 2}}, "a set is no JSON, at /a"),
        ({"a": b"x"}, "a bytes is no JSON, at /a"),
        ([object()], "an object is no JSON, at /0"),
        ([StepOutcome.success()], "a StepOutcome is no JSON, at /0"),
        ([Point], "a type is no JSON, at /0"),
        ([len], "a builtin_function_or_method is no JSON, at /0"),
        (cycle(), "a value contains itself, at /again/0"),
        ([10**5000], "an integer has more digits than Python writes (4,300), at /0"),
        (Decimal("NaN"), "NaN is no JSON, at the whole"),
        (nested(200), "it is nested more than 100 levels deep, at /0/0/0/0/0/0/0/0/0/0/…"),
    ],
)
def test_what_json_cannot_hold_is_named_with_its_place(value: object, said: str) -> None:
    with pytest.raises(Permanent) as refused:
        write(value, "result")
    assert str(refused.value) == f"the step's result cannot be stored: {said}"
    assert refused.value.code == "invalid_result"


def test_a_root_model_is_written_as_what_it_holds() -> None:
    pydantic = pytest.importorskip("pydantic")
    root = pydantic.RootModel
    values = [root[int](5), root[str]("abc"), root[list[int]]([1]), root[datetime](datetime.min)]
    assert write(values, "result") == '[5,"abc",[1],"0001-01-01T00:00:00"]'
    with pytest.raises(Permanent, match="a set is no JSON, at /0$"):
        write([root[set[int]]({1})], "result")
    # It has every method, and dumps what has no form either.
    with pytest.raises(Permanent, match="a MagicMock is no JSON, at /a$"):
        write({"a": unittest.mock.MagicMock()}, "result")


def test_an_integer_that_python_does_not_read_is_placed() -> None:
    long = "1" * 5_000
    texts = [f'{{"a":[0,{{"b/c":{long}}}]}}', f'{{"type":"step","context":[{long}]}}', long]
    for text, place in zip(texts, ("/a/1/b~1c", "/context/0", "the whole")):
        with pytest.raises(ValueError, match=rf"limit \(4300.*, at {place}$"):
            read_item(text)
        with pytest.raises(ValueError, match=rf", at {place}$"):
            read(text)
    with pytest.raises(ValueError, match="^Expecting"):
        read(f'{{"a":{long},')


def test_the_same_value_twice_is_no_cycle() -> None:
    one = [Decimal(1)]
    assert write([one, one], "result") == "[[1],[1]]"


def test_ninety_levels_pass() -> None:
    assert read(write(nested(90), "result")) == nested(90)
