"""Enqueueing in the caller's transaction, by each driver."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from datetime import datetime, timezone
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from support import ROOT, Place

from pgtasker import client

sqlalchemy = pytest.importorskip("sqlalchemy")


def count(place: Place) -> int:
    row = place.db.execute(
        "select count(*) from tasker.task_overview where namespace = %s", [place.namespace]
    ).fetchone()
    assert row is not None
    return int(row[0])


def sa_url(place: Place) -> str:
    return "postgresql+psycopg://" + place.url.partition("://")[2]


def test_a_task_starts_with_the_callers_commit(place: Place) -> None:
    place.flow("h")
    with psycopg.connect(place.url, row_factory=dict_row) as db:
        client.enqueue_task(db, place.namespace, "flow")
        db.rollback()
        assert count(place) == 0
        task = client.enqueue_task(
            db,
            place.namespace,
            "flow",
            {"n": 2**70, "%s": "100 % :p1 $1"},
            version="1.0.0",
            priority=2,
            run_at=datetime(2020, 1, 1, tzinfo=timezone.utc),
            idempotency_key="k",
            correlation_id=uuid.UUID(int=7),
            notify=False,
        )
        db.commit()
        status = client.task_status(db, task)
        assert (status["task_id"], status["correlation_id"]) == (str(task), str(uuid.UUID(int=7)))
        context = db.execute(
            "select tasker.task_context(%s)::text as text", [task]
        ).fetchone()
        assert context is not None and str(2**70) in context["text"]
        assert client.task_result(db, task) is None
        many = client.enqueue_tasks(db, place.namespace, "flow", [{"n": n} for n in range(3)])
        assert len(set(many)) == 3
        assert client.cancel_task(db, task, "no more") and not client.cancel_task(db, task)


def test_sqlalchemy_and_any_other_driver(place: Place) -> None:
    from sqlalchemy.orm import Session

    place.flow("h")
    engine = sqlalchemy.create_engine(sa_url(place))
    with engine.begin() as connection:
        client.enqueue_task(connection, place.namespace, "flow", {"n": 1})
    with Session(engine) as session:
        task = client.enqueue_task(session, place.namespace, "flow", {"n": 2})
        assert client.task_status(session, task)["name"] == "flow"
        session.commit()
    raw = engine.raw_connection()
    # What it wraps has DB-API cursors, as Django's connections do.
    client.enqueue_task(Wrapped(raw), place.namespace, "flow", {"n": 3})
    raw.commit()
    assert count(place) == 3
    with pytest.raises(TypeError, match="is no connection"):
        client.enqueue_task(object(), place.namespace, "flow")


class Wrapped:
    """A connection of no driver that is known."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def cursor(self) -> Any:
        return self._connection.driver_connection.cursor()


def test_asynchronous_connections(place: Place) -> None:
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    place.flow("h")

    async def program() -> None:
        async with await psycopg.AsyncConnection.connect(place.url) as db:
            task = await client.aenqueue_task(db, place.namespace, "flow", {"n": 1})
            assert (await client.atask_status(db, task))["name"] == "flow"
            assert await client.atask_result(db, task) is None
            await client.aenqueue_tasks(db, place.namespace, "flow", [{}, {}])
            assert await client.acancel_task(db, task)
            with pytest.raises(TypeError, match="asynchronous"):
                client.enqueue_task(db, place.namespace, "flow")
        engine = create_async_engine(sa_url(place))
        async with engine.begin() as connection:
            await client.aenqueue_task(connection, place.namespace, "flow")
        async with AsyncSession(engine) as session:
            await client.aenqueue_task(session, place.namespace, "flow")
            await session.commit()
        await engine.dispose()
        with pytest.raises(TypeError, match="no asynchronous connection"):
            await client.aenqueue_task(place.db, place.namespace, "flow")

    asyncio.run(program())
    assert count(place) == 5


def test_refusals_are_those_of_the_database(place: Place) -> None:
    place.flow("h")
    with pytest.raises(psycopg.Error) as refused:
        client.enqueue_task(place.db, place.namespace, "no_such_flow")
    assert refused.value.sqlstate == "TK002"
    with pytest.raises(ValueError, match="time zone"):
        client.enqueue_task(place.db, place.namespace, "flow", run_at=datetime(2020, 1, 1))


def test_the_trace_of_the_caller_goes_on(place: Place) -> None:
    trace = pytest.importorskip("opentelemetry.trace")
    place.flow("h")
    span = trace.NonRecordingSpan(trace.SpanContext(7, 9, False, trace.TraceFlags(1)))
    with trace.use_span(span):
        task = client.enqueue_task(place.db, place.namespace, "flow")
    row = place.db.execute(
        "select traceparent from tasker.tasks where task_id = %s", [task]
    ).fetchone()
    assert row == (f"00-{7:032x}-{9:016x}-01",)


def test_it_loads_no_native_module() -> None:
    program = (
        "import sys, pgtasker, pgtasker.client, pgtasker.testing;"
        "assert 'pgtasker._native' not in sys.modules;"
        "assert not {'psycopg', 'sqlalchemy', 'pydantic', 'opentelemetry'} & set(sys.modules)"
    )
    package = str(ROOT / "worker/python")
    subprocess.run([sys.executable, "-c", program], check=True, cwd=package)
