"""One statement on a connection of the caller's own driver, which is imported by the caller:
psycopg 3, SQLAlchemy, Django, and any other with DB-API cursors and ``%(name)s``."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Sequence
from typing import Any

Rows = list[tuple[Any, ...]]
_PARAMETER = re.compile(r"\$(\d+)")


def _known(connection: Any, *names: str) -> bool:
    """Whether it is of one of these classes, whose modules are imported if it is."""
    for name in names:
        module, _, attribute = name.rpartition(".")
        kind = getattr(sys.modules.get(module), attribute, None)
        if isinstance(kind, type) and isinstance(connection, kind):
            return True
    return False


def is_async(connection: Any) -> bool:
    """Whether its calls are awaited."""
    return is_async_psycopg(connection) or is_async_sqlalchemy(connection)


def is_psycopg(connection: Any) -> bool:
    """Whether it is of psycopg 3, and is called without waiting."""
    return _known(connection, "psycopg.Connection")


def is_async_psycopg(connection: Any) -> bool:
    """Whether it is of psycopg 3, and is awaited."""
    return _known(connection, "psycopg.AsyncConnection")


def is_sqlalchemy(connection: Any) -> bool:
    """Whether it is SQLAlchemy's Connection or Session."""
    kinds = ("Session", "scoped_session")
    names = [f"sqlalchemy.orm.{kind}" for kind in kinds]
    return _known(connection, "sqlalchemy.engine.Connection", *names)


def is_async_sqlalchemy(connection: Any) -> bool:
    """Whether it is SQLAlchemy's AsyncConnection or AsyncSession."""
    kinds = ("AsyncConnection", "AsyncSession", "async_scoped_session")
    return _known(connection, *(f"sqlalchemy.ext.asyncio.{kind}" for kind in kinds))


def of_this_task(connection: Any) -> Any:
    """The session that a scoped one stands for, which in another task would be another."""
    if _known(connection, "sqlalchemy.ext.asyncio.async_scoped_session"):
        return connection()
    return connection


def _named(parameters: Sequence[Any]) -> dict[str, Any]:
    return {f"p{number}": value for number, value in enumerate(parameters, 1)}


def _for_dbapi(statement: str) -> str:
    return _PARAMETER.sub(r"%(p\1)s", statement.replace("%", "%%"))


def _for_sqlalchemy(statement: str) -> Any:
    from sqlalchemy import text  # type: ignore[import-not-found, unused-ignore]

    # In brackets: it takes no `:p1::text`.
    return text(_PARAMETER.sub(r"(:p\1)", statement))


def _tuples(connection: Any) -> dict[str, Any]:
    """Whatever the connection's own row factory is."""
    if is_psycopg(connection) or is_async_psycopg(connection):
        return {"row_factory": sys.modules["psycopg"].rows.tuple_row}
    return {}


def fetch(connection: Any, statement: str, parameters: Sequence[Any]) -> Rows:
    """Runs a statement with ``$1``, ``$2`` …, and returns its rows.

    :raises TypeError: it is no connection, or one whose calls are awaited
    """
    if is_async(connection) or inspect.iscoroutinefunction(getattr(connection, "execute", None)):
        raise TypeError("this connection is asynchronous: await the call that is made for those")
    if is_sqlalchemy(connection):
        result = connection.execute(_for_sqlalchemy(statement), _named(parameters))
        return [tuple(row) for row in result]
    if not hasattr(connection, "cursor"):
        raise TypeError(f"{type(connection).__name__} is no connection to a database")
    with connection.cursor(**_tuples(connection)) as cursor:
        cursor.execute(_for_dbapi(statement), _named(parameters))
        return [tuple(row) for row in cursor.fetchall()]


async def afetch(connection: Any, statement: str, parameters: Sequence[Any]) -> Rows:
    """The same on a connection whose calls are awaited: psycopg's AsyncConnection, SQLAlchemy's
    AsyncConnection and AsyncSession.

    :raises TypeError: it is another kind of connection
    """
    if is_async_sqlalchemy(connection):
        result = await connection.execute(_for_sqlalchemy(statement), _named(parameters))
        return [tuple(row) for row in result]
    if not is_async_psycopg(connection):
        raise TypeError(f"{type(connection).__name__} is no asynchronous connection")
    async with connection.cursor(**_tuples(connection)) as cursor:
        await cursor.execute(_for_dbapi(statement), _named(parameters))
        return [tuple(row) for row in await cursor.fetchall()]
