"""Steps completed in a transaction of their own: each driver, and each way not to commit."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from support import Place, running, until

from pgtasker import Permanent, StepContext, client

sqlalchemy = pytest.importorskip("sqlalchemy")
INSERT = "insert into tests_own.effects (task_id) values ('{}')"


@pytest.fixture()
def effects(place: Place) -> Iterator[Any]:
    """Counts what a task has written."""
    place.db.execute("select pg_advisory_lock(41)")
    place.db.execute("create schema if not exists tests_own")
    place.db.execute("create table if not exists tests_own.effects (task_id uuid, n int default 1)")
    place.db.execute("select pg_advisory_unlock(41)")

    def count(task: uuid.UUID) -> int:
        row = place.db.execute(
            "select count(*) from tests_own.effects where task_id = %s", [task]
        ).fetchone()
        assert row is not None
        return int(row[0])

    yield count


def engine(place: Place, is_async: bool = False) -> Any:
    url = place.url.replace("postgresql://", "postgres://").replace(
        "postgres://", "postgresql+psycopg://"
    )
    if is_async:
        from sqlalchemy.ext.asyncio import create_async_engine

        return create_async_engine(url)
    return sqlalchemy.create_engine(url)


def handlers(place: Place) -> dict[str, Any]:
    """One for each kind of connection."""

    def psycopg_sync(ctx: StepContext) -> None:
        with psycopg.connect(place.url) as connection:
            with ctx.transaction(connection) as tx:
                connection.execute(INSERT.format(ctx.task_id))
                tx.complete({"n": 2**70})

    def psycopg_autocommit(ctx: StepContext) -> None:
        options: dict[str, Any] = {"autocommit": True, "row_factory": dict_row}
        with psycopg.connect(place.url, **options) as connection:
            with ctx.transaction(connection) as tx:
                with connection.transaction():
                    connection.execute(INSERT.format(ctx.task_id))
                tx.complete({"n": 2**70})

    async def psycopg_async(ctx: StepContext) -> None:
        async with await psycopg.AsyncConnection.connect(place.url) as connection:
            async with ctx.transaction(connection) as tx:
                await connection.execute(INSERT.format(ctx.task_id))
                tx.complete({"n": 2**70})

    def sqlalchemy_connection(ctx: StepContext) -> None:
        with engine(place).connect() as connection, ctx.transaction(connection) as tx:
            connection.execute(sqlalchemy.text(INSERT.format(ctx.task_id)))
            tx.complete({"n": 2**70})

    def sqlalchemy_session(ctx: StepContext) -> None:
        from sqlalchemy.orm import Session

        with Session(engine(place)) as session, ctx.transaction(session) as tx:
            session.execute(sqlalchemy.text(INSERT.format(ctx.task_id)))
            tx.complete({"n": 2**70})

    async def sqlalchemy_async_connection(ctx: StepContext) -> None:
        async with engine(place, True).connect() as connection:
            async with ctx.transaction(connection) as tx:
                await connection.execute(sqlalchemy.text(INSERT.format(ctx.task_id)))
                tx.complete({"n": 2**70})

    async def sqlalchemy_async_session(ctx: StepContext) -> None:
        from sqlalchemy.ext.asyncio import AsyncSession

        async with AsyncSession(engine(place, True)) as session:
            async with ctx.transaction(session) as tx:
                await session.execute(sqlalchemy.text(INSERT.format(ctx.task_id)))
                tx.complete({"n": 2**70})

    return {name: function for name, function in locals().items() if callable(function)}


def test_writes_and_completion_commit_together(place: Place, effects: Any) -> None:
    worker = place.worker()
    names = handlers(place)
    for name, handler in names.items():
        worker.handler(name, handler)
        place.apply([{"name": "s", "handler": {"callable": name}}], name=name)
    with running(worker):
        tasks = {name: place.enqueue(name=name) for name in names}
        for name, task in tasks.items():
            assert place.result(task) == {"s": {"n": 2**70}}, name
            assert (effects(task), place.steps(task)["s"]["claim_no"]) == (1, 1), name


def test_a_task_that_was_cancelled_meanwhile_rolls_back(place: Place, effects: Any) -> None:
    worker = place.worker()
    raised: dict[str, BaseException] = {}
    written, go_on = threading.Semaphore(0), threading.Event()

    @worker.handler("def")
    def plain(ctx: StepContext) -> None:
        try:
            with psycopg.connect(place.url) as connection, ctx.transaction(connection) as tx:
                connection.execute(INSERT.format(ctx.task_id))
                written.release()
                go_on.wait(30)
                tx.complete()
        except BaseException as error:
            raised["def"] = error
            raise

    place.flow("def")
    with running(worker):
        task = place.enqueue()
        assert written.acquire(timeout=30)
        client.cancel_task(place.db, task)
        go_on.set()
        until(lambda: "def" in raised)
        assert place.settled(task)["state"] == "cancelled"
    assert effects(task) == 0 and isinstance(raised["def"], Exception)


def test_exceptions_and_forgotten_ends_roll_back(place: Place, effects: Any) -> None:
    worker = place.worker()

    @worker.handler("raises")
    def raises(ctx: StepContext) -> None:
        with psycopg.connect(place.url) as connection, ctx.transaction(connection):
            connection.execute(INSERT.format(ctx.task_id))
            raise Permanent("no", code="no")

    @worker.handler("raises_async")
    async def raises_async(ctx: StepContext) -> None:
        async with await psycopg.AsyncConnection.connect(place.url) as connection:
            async with ctx.transaction(connection) as tx:
                await connection.execute(INSERT.format(ctx.task_id))
                tx.complete()
                raise Permanent("no", code="no")

    @worker.handler("forgets")
    def forgets(ctx: StepContext) -> None:
        with psycopg.connect(place.url) as connection, ctx.transaction(connection):
            connection.execute(INSERT.format(ctx.task_id))

    @worker.handler("gives_up")
    def gives_up(ctx: StepContext) -> str:
        with psycopg.connect(place.url) as connection, ctx.transaction(connection) as tx:
            connection.execute(INSERT.format(ctx.task_id))
            tx.rollback()
        return "without"

    @worker.handler("invalid")
    def invalid(ctx: StepContext) -> None:
        with psycopg.connect(place.url) as connection, ctx.transaction(connection) as tx:
            connection.execute(INSERT.format(ctx.task_id))
            tx.complete({"a": {1}})

    @worker.handler("rejected")
    def rejected(ctx: StepContext) -> None:
        with psycopg.connect(place.url) as connection, ctx.transaction(connection) as tx:
            connection.execute(INSERT.format(ctx.task_id))
            tx.complete("x" * (2 << 20))

    said = {
        "raises": "no",
        "raises_async": "no",
        "forgets": "RuntimeError: the transaction was rolled back",
        "invalid": "the step's result cannot be stored: a set is no JSON, at /a",
        "rejected": "",
    }
    names = [*said, "gives_up"]
    for name in names:
        place.apply([{"name": "s", "handler": {"callable": name}}], name=name)
    with running(worker):
        tasks = {name: place.enqueue(name=name) for name in names}
        for name, text in said.items():
            assert place.failure(tasks[name], "s")["message"].startswith(text), name
        assert place.result(tasks["gives_up"]) == {"s": "without"}
    assert [effects(task) for task in tasks.values()] == [0] * len(names)


def test_a_checkpoint_commits_with_its_writes(place: Place, effects: Any) -> None:
    worker = place.worker()

    @worker.handler("h")
    def handler(ctx: StepContext) -> None:
        last = ctx.last_checkpoint
        done = 0 if last is None else last.items_processed
        with psycopg.connect(place.url) as connection, ctx.transaction(connection) as tx:
            connection.execute(INSERT.format(ctx.task_id))
            if done < 2:
                tx.complete_with(ctx.checkpoint(done + 1, done + 1))
            else:
                tx.complete("done")

    place.flow("h")
    with running(worker):
        task = place.enqueue()
        assert place.result(task) == {"h": "done"}
    assert effects(task) == 3


def test_a_transaction_that_fails_to_commit_is_a_failure(place: Place, effects: Any) -> None:
    worker = place.worker()
    place.db.execute(
        "create table if not exists tests_own.unique_at_the_end "
        "(n int unique deferrable initially deferred)"
    )

    @worker.handler("h")
    def handler(ctx: StepContext) -> None:
        with psycopg.connect(place.url) as connection, ctx.transaction(connection) as tx:
            connection.execute("insert into tests_own.unique_at_the_end values (1), (1)")
            tx.complete()

    place.flow("h")
    with running(worker):
        error = place.failure(place.enqueue(), "h")
    assert error["message"].startswith("UniqueViolation: ") and error["code"] == "23505"
    assert "unique_at_the_end_n_key" in error["message"] and "(1)" not in error["message"]
