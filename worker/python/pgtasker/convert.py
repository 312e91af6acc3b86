"""JSON into a type of the handler's choice. What does not fit is a permanent error that names the
field, as in ``context.lines[1].quantity: missing``; values are never quoted.

Types: ``Any``, ``None``, ``bool``, ``int``, ``float``, ``str``, ``Decimal``, ``datetime``,
``date``, ``time``, ``UUID``, ``Enum``, ``Literal``, ``list``, ``tuple``, ``set``, ``dict``, unions,
dataclasses, ``TypedDict``, and pydantic models; fields that a type does not have are left out.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import math
import types
import typing
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Callable, TypeVar
from uuid import UUID

from .errors import Permanent

T = TypeVar("T")
_Converter = Callable[[Any, str], Any]
_LISTS = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


class Misfit(Exception):
    """A value does not fit its type."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


def convert(value: Any, to: type[T], what: str) -> T:
    """The JSON value as a ``to``; ``what`` begins the path in the message of an error.

    :raises Permanent: ``invalid_input``; the message names the field
    """
    try:
        return typing.cast(T, _converter(to)(value, what))
    except Misfit as misfit:
        raise Permanent(str(misfit), code="invalid_input") from None


def _converter(to: Any) -> _Converter:
    try:
        # Unions are equal whatever the order of their members, which is that of the attempts.
        return _cached(to, "" if type(to) is type else repr(to))
    except TypeError as error:
        # It cannot be a key, such as Literal of a list.
        if "unhashable" in str(error):
            return _build(to)
        raise


@functools.lru_cache(maxsize=1_000)
def _cached(to: Any, text: str) -> _Converter:
    return _build(to)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names: dict[type, str] = {
        bool: "a boolean", int: "an integer", float: "a number", Decimal: "a number",
        str: "a string", list: "a list", dict: "an object",
    }  # fmt: skip
    return names.get(type(value), type(value).__name__)


def _expected(what: str, value: Any, path: str) -> Misfit:
    return Misfit(path, f"expected {what}, found {_kind(value)}")


def _any(value: Any, path: str) -> Any:
    return value


def _exactly(kind: type, name: str) -> _Converter:
    def convert_to(value: Any, path: str) -> Any:
        if type(value) is not kind:
            raise _expected(name, value, path)
        return value

    return convert_to


def _float(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise _expected("a number", value, path)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise Misfit(path, "the number is beyond what a float holds: take it as a Decimal")
    # The digits of a float are those that it is written with.
    if number != value and Decimal(repr(number)) != Decimal(value):
        text = "a float does not hold the number exactly: take it as a Decimal or int"
        raise Misfit(path, text)
    return number


def _decimal(value: Any, path: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise _expected("a number", value, path)
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _from_text(parse: Callable[[str], Any], name: str) -> _Converter:
    def convert_to(value: Any, path: str) -> Any:
        if not isinstance(value, str):
            raise _expected(name, value, path)
        try:
            return parse(value)
        except ValueError:
            raise Misfit(path, f"expected {name}, found another string") from None

    return convert_to


def timestamp(text: str) -> datetime:
    """ISO 8601 with any number of digits; Python 3.10 knows three or six, and no Z.

    :raises ValueError: the text has another form
    """
    text = text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text
    head, dot, rest = text.partition(".")
    if dot:
        digits = rest[: next((n for n, c in enumerate(rest) if not c.isdigit()), len(rest))]
        text = f"{head}.{digits[:6].ljust(6, '0')}{rest[len(digits) :]}"
    return datetime.fromisoformat(text)


_SCALARS: dict[Any, _Converter] = {
    Any: _any,
    object: _any,
    None: _exactly(type(None), "null"),
    type(None): _exactly(type(None), "null"),
    bool: _exactly(bool, "a boolean"),
    int: _exactly(int, "an integer"),
    str: _exactly(str, "a string"),
    float: _float,
    Decimal: _decimal,
    datetime: _from_text(timestamp, "a date and time (ISO 8601)"),
    date: _from_text(date.fromisoformat, "a date (ISO 8601)"),
    time: _from_text(time.fromisoformat, "a time (ISO 8601)"),
    UUID: _from_text(UUID, "a UUID"),
}


def _build(to: Any) -> _Converter:
    if isinstance(to, collections.abc.Hashable) and to in _SCALARS:
        return _SCALARS[to]
    if isinstance(to, TypeVar):
        return _any
    origin, arguments = typing.get_origin(to), typing.get_args(to)
    if origin is typing.Annotated:
        return _converter(arguments[0])
    if origin is typing.Literal:
        return _one_of(arguments)
    if origin is typing.Union or origin is types.UnionType:
        return _union(arguments)
    if hasattr(to, "__supertype__"):
        return _converter(to.__supertype__)
    if hasattr(to, "__value__"):
        return _converter(to.__value__)
    return _container(origin or to, arguments) or _class(to)


def _one_of(values: tuple[Any, ...]) -> _Converter:
    def convert_to(value: Any, path: str) -> Any:
        for one in values:
            if one == value and type(one) is type(value):
                return one
        raise Misfit(path, f"expected one of {', '.join(map(repr, values))}")

    return convert_to


def _union(members: tuple[Any, ...]) -> _Converter:
    converters = [_converter(member) for member in members]
    only = [member for member in members if member is not type(None)]

    def convert_to(value: Any, path: str) -> Any:
        if value is None and len(only) < len(members):
            return None
        misfits = []
        for converter in converters:
            try:
                return converter(value, path)
            except Misfit as misfit:
                misfits.append(misfit)
        if len(only) == 1:
            # `T | None`: what is wrong is what T says.
            raise misfits[members.index(only[0])]
        raise Misfit(path, f"expected one of {len(members)} types, found {_kind(value)}")

    return convert_to


def _container(kind: Any, arguments: tuple[Any, ...]) -> _Converter | None:
    if kind in _LISTS or kind in (set, frozenset):
        item = _converter(arguments[0]) if arguments else _any
        make = kind if kind in (set, frozenset) else None

        def convert_list(value: Any, path: str) -> Any:
            if not isinstance(value, list):
                raise _expected("a list", value, path)
            items = [item(one, f"{path}[{index}]") for index, one in enumerate(value)]
            return make(items) if make else items

        return convert_list
    if kind is tuple:
        return _tuple(arguments)
    if kind in _DICTS:
        key, member = (_converter(one) for one in arguments) if arguments else (_any, _any)

        def convert_dict(value: Any, path: str) -> Any:
            if not isinstance(value, dict):
                raise _expected("an object", value, path)
            return {key(k, path): member(v, f"{path}.{k}") for k, v in value.items()}

        return convert_dict
    return None


def _tuple(arguments: tuple[Any, ...]) -> _Converter:
    if not arguments or arguments[-1] is Ellipsis:
        items = _converter(list[arguments[0]] if arguments else list)  # type: ignore[valid-type]
        return lambda value, path: tuple(items(value, path))
    converters = [_converter(one) for one in arguments]

    def convert_to(value: Any, path: str) -> Any:
        if not isinstance(value, list):
            raise _expected("a list", value, path)
        if len(value) != len(converters):
            raise Misfit(path, f"expected {len(converters)} items, found {len(value)}")
        pairs = enumerate(zip(converters, value))
        return tuple(one(item, f"{path}[{index}]") for index, (one, item) in pairs)

    return convert_to


def _class(to: Any) -> _Converter:
    if hasattr(to, "model_validate"):
        return _pydantic(to.model_validate)
    if hasattr(to, "__pydantic_validator__"):
        from pydantic import TypeAdapter

        return _pydantic(TypeAdapter(to).validate_python)
    origin = typing.get_origin(to) or to
    if isinstance(origin, type):
        if issubclass(origin, Enum):
            return _enum(origin)
        if dataclasses.is_dataclass(origin):
            return _dataclass(origin)
        if hasattr(origin, "__total__") and hasattr(origin, "__required_keys__"):
            return _typed_dict(origin)
    name = getattr(to, "__name__", repr(to))
    raise TypeError(f"JSON cannot be read as {name}: take a dataclass, a TypedDict, or a model")


def _enum(to: type[Enum]) -> _Converter:
    def convert_to(value: Any, path: str) -> Any:
        try:
            member = to(value)
            # For Python True is 1.
            if member.value != value or isinstance(member.value, bool) == isinstance(value, bool):
                return member
        except ValueError:
            pass
        names = ", ".join(repr(member.value) for member in to)
        raise Misfit(path, f"expected one of {names}")

    return convert_to


def _hints(to: Any) -> dict[str, Any]:
    # Without namespaces of ours each base's names are those of its own module.
    return typing.get_type_hints(to, include_extras=True)


def _object(value: Any, path: str, fields: dict[str, _Converter], required: set[str]) -> Any:
    if not isinstance(value, dict):
        raise _expected("an object", value, path)
    for name in fields:
        if name in required and name not in value:
            raise Misfit(f"{path}.{name}", "missing")
    return {
        name: converter(value[name], f"{path}.{name}")
        for name, converter in fields.items()
        if name in value
    }


def _dataclass(to: Any) -> _Converter:
    fields: dict[str, _Converter] = {}
    required: set[str] = set()
    # Built at its first use: a class may have fields of its own type.
    def convert_to(value: Any, path: str) -> Any:
        if not fields and dataclasses.fields(to):
            hints, missing = _hints(to), dataclasses.MISSING
            own = [field for field in dataclasses.fields(to) if field.init]
            required.update(
                field.name
                for field in own
                if field.default is missing and field.default_factory is missing
            )
            fields.update({field.name: _converter(hints[field.name]) for field in own})
        members = _object(value, path, fields, required)
        try:
            return to(**members)
        except ValueError as error:
            # Its __post_init__ has raised it.
            raise Misfit(path, str(error)) from error

    return convert_to


def _typed_dict(to: Any) -> _Converter:
    fields: dict[str, _Converter] = {}

    def convert_to(value: Any, path: str) -> Any:
        if not fields:
            hints = _hints(to)
            fields.update({name: _converter(_bare(hint)) for name, hint in hints.items()})
        return _object(value, path, fields, set(to.__required_keys__))

    return convert_to


def _bare(hint: Any) -> Any:
    """Without Required and the like."""
    name = getattr(typing.get_origin(hint), "_name", None)
    if name in ("Required", "NotRequired", "ReadOnly"):
        return _bare(typing.get_args(hint)[0])
    return hint


def _pydantic(validate: Callable[[Any], Any]) -> _Converter:
    def convert_to(value: Any, path: str) -> Any:
        from pydantic import ValidationError

        try:
            return validate(value)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False)
            place = "".join(
                f"[{key}]" if isinstance(key, int) else f".{key}" for key in problems[0]["loc"]
            )
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise Misfit(path + place, problems[0]["msg"] + more) from None

    return convert_to
