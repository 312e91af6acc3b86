"""Rollbacks that are disturbed, on connections that do what a test says."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from fake import STEP, FakeNative

from pgtasker import StepContext, Worker, drivers, unbroken


class Connection:
    """Stands for psycopg's AsyncConnection."""

    autocommit = True

    def __init__(self, fails: bool = False) -> None:
        self.said: list[str] = []
        self.fails = fails
        self.begun, self.rolls_back = asyncio.Event(), asyncio.Event()

    async def execute(self, statement: str) -> None:
        self.begun.set()
        await asyncio.sleep(0.05)
        self.said.append(statement)

    async def rollback(self) -> None:
        self.rolls_back.set()
        await asyncio.sleep(0.05)
        if self.fails:
            raise OSError("the connection is lost")
        self.said.append("rollback")


class Plain:
    """Stands for psycopg's Connection, which is lost."""

    autocommit = False

    def rollback(self) -> None:
        raise OSError("the connection is lost")


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "is_async_psycopg", lambda one: isinstance(one, Connection))
    monkeypatch.setattr(drivers, "is_psycopg", lambda one: isinstance(one, Plain))


async def fail(connection: Any, error: BaseException | None = None) -> None:
    async with StepContext(STEP).transaction(connection):
        if error is not None:
            raise error
        await asyncio.sleep(60)


def test_a_second_cancel_does_not_interrupt_the_rollback() -> None:
    async def program() -> list[str]:
        connection = Connection()
        task = asyncio.create_task(fail(connection))
        await asyncio.sleep(0.1)
        task.cancel()
        await connection.rolls_back.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return connection.said

    assert asyncio.run(program()) == ["begin", "rollback"]


def test_a_cancel_while_it_begins_leaves_no_transaction_open() -> None:
    async def program() -> list[str]:
        connection = Connection()
        task = asyncio.create_task(fail(connection))
        await connection.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return connection.said

    assert asyncio.run(program()) == ["begin", "rollback"]


def test_a_rollback_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unbroken, "PATIENCE", 0.1)

    class Hangs(Connection):
        async def rollback(self) -> None:
            await asyncio.sleep(60)

    async def program() -> None:
        await fail(Hangs(), KeyError("mine"))

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(asyncio.wait_for(program(), 10))


def test_a_rollback_that_fails_never_replaces_the_error() -> None:
    async def program() -> None:
        await fail(Connection(fails=True), KeyError("mine"))

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(program())
    with pytest.raises(KeyError, match="mine"):
        with StepContext(STEP).transaction(Plain()):
            raise KeyError("mine")


def test_a_scoped_session_rolls_back_the_one_of_its_task() -> None:
    asyncio_of = pytest.importorskip("sqlalchemy.ext.asyncio")
    rolled: list[Any] = []

    base: Any = asyncio_of.AsyncSession

    class Session(base):  # type: ignore[misc]
        async def rollback(self) -> None:
            rolled.append(self)

    async def program() -> None:
        make = asyncio_of.async_sessionmaker(class_=Session)
        scoped = asyncio_of.async_scoped_session(make, asyncio.current_task)
        own = scoped()
        with pytest.raises(KeyError):
            await fail(scoped, KeyError("mine"))
        assert rolled == [own]

    asyncio.run(program())


def test_the_end_of_the_loop_waits_for_a_rollback(monkeypatch: pytest.MonkeyPatch) -> None:
    native, connections = FakeNative(), list[Connection]()
    monkeypatch.setattr(Worker, "_launch", lambda self: native)
    worker = Worker("x")

    @worker.handler("h")
    async def handler(ctx: StepContext) -> None:
        connections.append(Connection())
        async with ctx.transaction(connections[0]):
            native.give(type="cancel", id=1, why="timeout")
            await connections[0].rolls_back.wait()

    class Slow(Connection):
        async def rollback(self) -> None:
            native.shutdown()
            await asyncio.sleep(0.3)
            self.said.append("rollback")

    monkeypatch.setattr(Connection, "rollback", Slow.rollback)
    worker.start()
    native.step(1)
    loop = worker._runtime.loop if worker._runtime is not None else None
    assert loop is not None and worker.is_running
    deadline = time.monotonic() + 10
    while not loop.is_closed():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert connections[0].said == ["begin", "rollback"]
