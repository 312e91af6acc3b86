"""JSON that keeps every digit, and that says where a value is that it cannot hold.

A number is read as an ``int``, as a ``float`` where that is the same number, and as a
``Decimal`` otherwise. All three are written digit by digit.
"""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from json.encoder import encode_basestring
from typing import Any, Callable
from uuid import UUID

from .errors import Permanent

_SAFE_DIGITS = 15
"""As many digits as a double holds in any case."""
_MAX_DEPTH = 100
"""Levels that the database takes."""
_MAX_SHOWN = 10
"""Parts of a place that are shown."""


class InvalidValue(Permanent):
    """A value that JSON cannot hold; its code is ``invalid_result``."""

    def __init__(self, what: str, problem: str, path: tuple[str | int, ...]) -> None:
        text = f"the step's {what} cannot be stored: {problem}, at {_pointer(path)}"
        super().__init__(text, code="invalid_result")


def _number(text: str) -> float | Decimal:
    number = float(text)
    if len(text) <= _SAFE_DIGITS and "e" not in text and "E" not in text:
        return number
    exact = Decimal(text)
    return number if math.isfinite(number) and Decimal(repr(number)) == exact else exact


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


_exact = json.JSONDecoder(parse_float=_number, parse_constant=_refuse).decode
_plain = json.JSONDecoder(parse_constant=_refuse).decode
# Made once: json.dumps makes one for each call.
_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode


def read(text: str) -> Any:
    """Reads any JSON.

    :raises ValueError: the text is no JSON, or an integer has more digits than Python reads
        (4,300, see ``sys.set_int_max_str_digits``), which the message places
    """
    return _read(text, _exact)


def read_item(text: str) -> Any:
    """Reads an item of a poll, which says itself whether it has numbers that no ``float`` holds
    (where not, it is read much faster)."""
    if text.startswith('{"type":"step"') and '"inexact":[' not in text:
        return _read(text, _plain)
    return _read(text, _exact)


def _read(text: str, decode: Callable[[str], Any]) -> Any:
    try:
        return decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        path = _path_to(_LONG, _marking(text))
        if path is None:
            raise
        raise ValueError(f"{error}, at {_pointer(path)}") from None


_LONG = object()
"""Stands for an integer that Python does not read."""


def _integer(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return _LONG


_marking = json.JSONDecoder(parse_int=_integer).decode


def _path_to(wanted: object, value: Any) -> tuple[str | int, ...] | None:
    if value is wanted:
        return ()
    pairs: Any = ()
    if isinstance(value, (dict, list)):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, member in pairs:
        rest = _path_to(wanted, member)
        if rest is not None:
            return (key, *rest)
    return None


def _pointer(path: tuple[str | int, ...]) -> str:
    """A place, as in /lines/0/price."""
    keys = [str(key).replace("~", "~0").replace("/", "~1") for key in path[:_MAX_SHOWN]]
    place = "".join(f"/{key}" for key in keys) or "the whole"
    return f"{place}/…" if len(path) > _MAX_SHOWN else place


def write(value: Any, what: str) -> str:
    """The JSON text of a value; ``what`` it is begins the message of an error.

    :raises InvalidValue: it has no form in JSON; the message names the place
    """
    if _is_plain(value, 0):
        try:
            text = _encode(value)
            if not text.isascii():
                text.encode("utf-8")
            return text
        except (ValueError, RecursionError):
            # The other way finds the place.
            pass
    parts: list[str] = []
    _write(value, parts.append, what, (), [])
    return "".join(parts)


def _is_plain(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return True
    if kind is float:
        return math.isfinite(value)
    if depth > _MAX_DEPTH:
        return False
    if kind is dict:
        for key, member in value.items():
            if type(key) is not str or not _is_plain(member, depth + 1):
                return False
        return True
    if kind is list or kind is tuple:
        for item in value:
            if not _is_plain(item, depth + 1):
                return False
        return True
    return False


def _scalar(value: Any) -> tuple[str | None, str | None]:
    """The text of a value without parts, or what is wrong with it; neither: it has parts."""
    if value is None:
        return "null", None
    if isinstance(value, bool):
        return ("true" if value else "false"), None
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return None, "a string holds half of a surrogate pair"
        return encode_basestring(value), None
    if isinstance(value, int):
        try:
            return int.__repr__(value), None
        except ValueError:
            return None, "an integer has more digits than Python writes (4,300)"
    if isinstance(value, float):
        if math.isfinite(value):
            return float.__repr__(value), None
        return None, f"{float.__repr__(value)} is no JSON"
    if isinstance(value, Decimal):
        return (str(value), None) if value.is_finite() else (None, f"{value} is no JSON")
    if isinstance(value, (datetime, date, time)):
        return f'"{value.isoformat()}"', None
    if isinstance(value, UUID):
        return f'"{value}"', None
    return None, None


def _members(value: Any) -> Any:
    """A dict or a list with the parts of a value; None: it has none, and no form in JSON."""
    if isinstance(value, dict):
        return value
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def _bare(value: Any) -> Any:
    """What stands for a value: of an enum its member's value, of a pydantic model what it dumps,
    which of a ``RootModel`` may be anything."""
    if isinstance(value, Enum):
        return value.value
    # pydantic need not be there.
    dump = None if isinstance(value, type) else getattr(value, "model_dump", None)
    return dump() if callable(dump) else value


def _write(
    value: Any,
    add: Callable[[str], None],
    what: str,
    path: tuple[str | int, ...],
    above: list[int],
) -> None:
    value = _bare(value)
    text, problem = _scalar(value)
    if text is not None:
        return add(text)
    parts = _members(value) if problem is None else None
    if parts is None:
        problem = problem or f"{_article(type(value).__name__)} is no JSON"
        raise InvalidValue(what, problem, path)
    if id(value) in above:
        raise InvalidValue(what, "a value contains itself", path)
    if len(above) > _MAX_DEPTH:
        raise InvalidValue(what, f"it is nested more than {_MAX_DEPTH} levels deep", path)
    above.append(id(value))
    if isinstance(parts, dict):
        separator = "{"
        for key, member in parts.items():
            if not isinstance(key, str):
                name = type(key).__name__
                raise InvalidValue(what, f"a key is {_article(name)}, not a string", path)
            text, problem = _scalar(key.value if isinstance(key, Enum) else key)
            if text is None:
                raise InvalidValue(what, f"a key: {problem}", path)
            add(f"{separator}{text}:")
            _write(member, add, what, (*path, key), above)
            separator = ","
        add("}" if parts else "{}")
    else:
        separator = "["
        for index, item in enumerate(parts):
            add(separator)
            _write(item, add, what, (*path, index), above)
            separator = ","
        add("]" if parts else "[]")
    above.pop()


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
