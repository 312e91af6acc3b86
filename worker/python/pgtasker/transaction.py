"""A step that is completed in a transaction of its handler's own: its writes and the completion
commit together, or not at all."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import drivers, unbroken
from .capabilities import StepOutcome, within_loop
from .json_text import write

if TYPE_CHECKING:
    from .context import StepContext

_ACCEPTED = "accepted"


class StepTransaction:
    """See :meth:`pgtasker.StepContext.transaction`.

    The block's end runs the completion as the last statement and commits, on the connection it was
    given; a transaction that is open there already is part of it. Any exception rolls back, and so
    does a step that has passed to another claim, or whose task was cancelled.
    """

    def __init__(self, step: StepContext, connection: Any) -> None:
        self._step, self._connection = step, connection
        self._outcome: StepOutcome | None = None
        self._is_given_up = False

    def complete(self, result: Any = None) -> None:
        """Completes the step with this result at the end of the block."""
        is_outcome = isinstance(result, StepOutcome)
        self.complete_with(result if is_outcome else StepOutcome.success(result))

    def complete_with(self, outcome: StepOutcome) -> None:
        """Ends the step with this outcome at the end of the block, such as a checkpoint.

        :raises RuntimeError: the transaction has an end already
        """
        if self._outcome is not None or self._is_given_up:
            raise RuntimeError("this transaction has an end already")
        if not isinstance(outcome, StepOutcome):
            raise TypeError(f"{type(outcome).__name__} is no StepOutcome")
        self._outcome = outcome

    def rollback(self) -> None:
        """Rolls back at the end of the block; what the handler returns then is the result."""
        if self._outcome is not None:
            raise RuntimeError("this transaction has an end already")
        self._is_given_up = True

    def __enter__(self) -> StepTransaction:
        if drivers.is_async(self._connection):
            raise TypeError("this connection is asynchronous: use `async with`")
        if within_loop():
            raise RuntimeError("this would block the event loop: use an asynchronous connection")
        if drivers.is_psycopg(self._connection) and self._connection.autocommit:
            # It does not commit by itself within a transaction.
            self._connection.execute("begin")
        elif not drivers.is_psycopg(self._connection):
            _known(drivers.is_sqlalchemy(self._connection), self._connection)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection, step = self._connection, self._step
        if error is not None:
            return _quietly(connection.rollback)
        if self._outcome is None:
            connection.rollback()
            return self._check()
        try:
            if hasattr(connection, "flush"):
                connection.flush()
            prepared = step._ask("prepare", self._prepare())
            rows = drivers.fetch(connection, prepared["statement"], prepared["parameters"])
            status = _status(rows)
            if status == _ACCEPTED:
                step._ask("commits", "{}")
                connection.commit()
                step._has_committed = True
        except BaseException:
            _quietly(connection.rollback)
            raise
        if status != _ACCEPTED:
            _quietly(connection.rollback)
            step._ask("refused", _refused(status))
        step._ask("committed", "{}")

    async def __aenter__(self) -> StepTransaction:
        connection = self._connection
        if drivers.is_async_psycopg(connection):
            if connection.autocommit:
                await self._begin()
        else:
            _known(drivers.is_async_sqlalchemy(connection), connection)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection, step = self._connection, self._step
        if error is not None:
            return await _quietly_async(connection)
        if self._outcome is None:
            await _rollback(connection)
            return self._check()
        try:
            if hasattr(connection, "flush"):
                await connection.flush()
            prepared = await step._ask_later("prepare", self._prepare())
            rows = await drivers.afetch(connection, prepared["statement"], prepared["parameters"])
            status = _status(rows)
            if status == _ACCEPTED:
                await step._ask_later("commits", "{}")
                await connection.commit()
                step._has_committed = True
        except BaseException:
            await _quietly_async(connection)
            raise
        if status != _ACCEPTED:
            await _quietly_async(connection)
            await step._ask_later("refused", _refused(status))
        # Not awaited, so that nothing comes between the commit and its notice.
        step._ask("committed", "{}")

    def _prepare(self) -> str:
        assert self._outcome is not None
        return f'{{"outcome":{self._outcome.text()}}}'

    async def _begin(self) -> None:
        try:
            await unbroken.through(self._connection.execute("begin"))
        except asyncio.CancelledError:
            # The block that would roll back is never entered.
            await _quietly_async(self._connection)
            raise

    def _check(self) -> None:
        if not self._is_given_up:
            text = "the transaction was rolled back: its block ended without tx.complete(…)"
            raise RuntimeError(text)


def _known(is_known: bool, connection: Any) -> None:
    if not is_known:
        text = f"{type(connection).__name__} is no connection of psycopg 3 or SQLAlchemy"
        raise TypeError(text)


def _status(rows: drivers.Rows) -> str:
    return str(rows[0][0]) if rows else "stale"


def _refused(status: str) -> str:
    return write({"status": status}, "status")


def _quietly(call: Any) -> None:
    try:
        call()
    except Exception:
        # The first error says more.
        pass


async def _rollback(connection: Any) -> None:
    session = drivers.of_this_task(connection)
    await unbroken.through(session.rollback(), unbroken.PATIENCE)


async def _quietly_async(connection: Any) -> None:
    try:
        await _rollback(connection)
    except Exception:
        # The first error says more.
        pass
