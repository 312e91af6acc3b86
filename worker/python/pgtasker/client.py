"""Enqueueing tasks, in the caller's transaction on the caller's own connection. Needs no native
module.

Each call takes a connection of psycopg 3, SQLAlchemy (Connection, Session), Django, or any other
driver with DB-API cursors. Those that begin with ``a`` take psycopg's AsyncConnection, or
SQLAlchemy's AsyncConnection or AsyncSession. Errors are those of the driver; their SQLSTATEs
(``TK001`` …) are in the SQL API.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID

from .drivers import Rows, afetch, fetch
from .json_text import read, write
from .tracing import current_traceparent

if TYPE_CHECKING:
    from typing_extensions import Unpack

_Statement = tuple[str, list[Any]]
_ENQUEUE = """select tasker.enqueue_task(
    p_namespace => $1::text, p_name => $2::text, p_context => $3::text::jsonb,
    p_version => $4::text, p_priority => $5::int, p_run_at => $6::text::timestamptz,
    p_idempotency_key => $7::text, p_correlation_id => $8::text::uuid,
    p_traceparent => $9::text, p_notify => $10::boolean)::text"""
_ENQUEUE_MANY = """select t::text from tasker.enqueue_tasks(
    $1::text, $2::text,
    array(select value from jsonb_array_elements($3::text::jsonb) with ordinality
          order by ordinality)) t"""


class EnqueueOptions(TypedDict, total=False):
    """What a task may be given; see ``enqueue_task`` in the SQL API."""

    version: str | None
    priority: int
    run_at: datetime | None
    idempotency_key: str | None
    correlation_id: UUID | str | None
    traceparent: str | None
    notify: bool | None


def _enqueue(
    namespace: str,
    name: str,
    context: Any,
    *,
    version: str | None = None,
    priority: int = 0,
    run_at: datetime | None = None,
    idempotency_key: str | None = None,
    correlation_id: UUID | str | None = None,
    traceparent: str | None = None,
    notify: bool | None = None,
) -> _Statement:
    if run_at is not None and run_at.tzinfo is None:
        raise ValueError("run_at needs a time zone")
    parameters = [
        namespace,
        name,
        write({} if context is None else context, "context"),
        version,
        priority,
        None if run_at is None else run_at.isoformat(),
        idempotency_key,
        None if correlation_id is None else str(correlation_id),
        current_traceparent() if traceparent is None else traceparent,
        notify,
    ]
    return _ENQUEUE, parameters


def enqueue_task(
    connection: Any,
    namespace: str,
    name: str,
    context: Any = None,
    **options: Unpack[EnqueueOptions],
) -> UUID:
    """Starts a task once the caller's transaction commits, and returns its id.

    :param context: any JSON, a dataclass, or a pydantic model; ``{}``
    :param options: ``version``, ``priority``, ``run_at``, ``idempotency_key``,
        ``correlation_id``, ``traceparent`` (that of the current span, where OpenTelemetry is
        used), ``notify``
    """
    return UUID(str(fetch(connection, *_enqueue(namespace, name, context, **options))[0][0]))


async def aenqueue_task(
    connection: Any,
    namespace: str,
    name: str,
    context: Any = None,
    **options: Unpack[EnqueueOptions],
) -> UUID:
    """:func:`enqueue_task`, awaited."""
    rows = await afetch(connection, *_enqueue(namespace, name, context, **options))
    return UUID(str(rows[0][0]))


def _enqueue_many(namespace: str, name: str, contexts: Iterable[Any]) -> _Statement:
    return _ENQUEUE_MANY, [namespace, name, write(list(contexts), "contexts")]


def _ids(rows: Rows) -> list[UUID]:
    return [UUID(str(row[0])) for row in rows]


def enqueue_tasks(
    connection: Any, namespace: str, name: str, contexts: Iterable[Any]
) -> list[UUID]:
    """Starts a task for each context, all or none, and returns their ids in order."""
    return _ids(fetch(connection, *_enqueue_many(namespace, name, contexts)))


async def aenqueue_tasks(
    connection: Any, namespace: str, name: str, contexts: Iterable[Any]
) -> list[UUID]:
    """:func:`enqueue_tasks`, awaited."""
    return _ids(await afetch(connection, *_enqueue_many(namespace, name, contexts)))


def _one(function: str, task_id: UUID | str) -> _Statement:
    return f"select tasker.{function}($1::text::uuid)::text", [str(task_id)]


def _json(rows: Rows) -> Any:
    return None if rows[0][0] is None else read(rows[0][0])


def task_status(connection: Any, task_id: UUID | str) -> dict[str, Any]:
    """State, steps counted by state, error, and times of a task."""
    status: dict[str, Any] = _json(fetch(connection, *_one("task_status", task_id)))
    return status


async def atask_status(connection: Any, task_id: UUID | str) -> dict[str, Any]:
    """:func:`task_status`, awaited."""
    status: dict[str, Any] = _json(await afetch(connection, *_one("task_status", task_id)))
    return status


def task_result(connection: Any, task_id: UUID | str) -> Any:
    """The results of the leaf steps by name; None until the task is complete."""
    return _json(fetch(connection, *_one("task_result", task_id)))


async def atask_result(connection: Any, task_id: UUID | str) -> Any:
    """:func:`task_result`, awaited."""
    return _json(await afetch(connection, *_one("task_result", task_id)))


def _cancel(task_id: UUID | str, reason: str | None) -> _Statement:
    statement = "select tasker.cancel_task(p_task_id => $1::text::uuid, p_reason => $2::text)"
    return statement, [str(task_id), reason]


def cancel_task(connection: Any, task_id: UUID | str, reason: str | None = None) -> bool:
    """Cancels a task; False: it had finished already."""
    return bool(fetch(connection, *_cancel(task_id, reason))[0][0])


async def acancel_task(connection: Any, task_id: UUID | str, reason: str | None = None) -> bool:
    """:func:`cancel_task`, awaited."""
    return bool((await afetch(connection, *_cancel(task_id, reason)))[0][0])
