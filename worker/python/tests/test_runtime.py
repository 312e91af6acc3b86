"""What runs around handlers, on a fake native module."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fake import STEP, FakeNative

from pgtasker import Publication, StepContext, Worker, current
from pgtasker.program import Program


@pytest.fixture()
def native(monkeypatch: pytest.MonkeyPatch) -> FakeNative:
    native = FakeNative()
    monkeypatch.setattr(Worker, "_launch", lambda self: native)
    return native


@pytest.fixture()
def worker(native: FakeNative) -> Iterator[Worker]:
    worker = Worker("x")
    yield worker
    worker.stop(10)


def test_functions_and_coroutines_are_answered(native: FakeNative, worker: Worker) -> None:
    @worker.handler("def")
    def plain(ctx: StepContext) -> list[Any]:
        return [ctx.step, threading.current_thread().name]

    @worker.handler("async")
    async def awaited(ctx: StepContext) -> Any:
        await asyncio.sleep(0)
        assert current() is ctx
        return threading.current_thread().name

    @worker.handler("wrapped")
    @functools.wraps(awaited)
    def wrapped(ctx: StepContext) -> Any:
        return awaited(ctx)

    worker.start()
    for id, name in enumerate(("def", "async", "wrapped"), 1):
        native.step(id, name)
    assert native.answer(1)["result"][1].startswith("pgtasker-handler")
    assert native.answer(2)["result"] == native.answer(3)["result"] == "pgtasker-loop"


def test_what_hangs_in_a_thread_of_the_loop_keeps_nobody(
    native: FakeNative, worker: Worker
) -> None:
    hanging = threading.Event()

    @worker.handler("hangs")
    async def hangs(ctx: StepContext) -> None:
        await asyncio.to_thread(hanging.wait, 30)

    @worker.handler("thread")
    async def thread(ctx: StepContext) -> list[Any]:
        with pytest.raises(KeyError):
            await asyncio.to_thread({"y": 1}.__getitem__, "x")
        one = await asyncio.to_thread(threading.current_thread)
        return [one.daemon, one.name, await asyncio.to_thread(current) is ctx]

    worker.start()
    for id in range(50):
        native.step(id, "hangs")
    native.step(50, "thread")
    is_daemon, name, is_current = native.answer(50)["result"]
    assert is_daemon and is_current and name.startswith("pgtasker-loop-thread")
    assert worker.stop(10)
    hanging.set()


def test_one_bad_item_is_about_itself_alone(native: FakeNative, worker: Worker) -> None:
    worker.handler("h", lambda ctx: ctx.context())
    worker.start()
    good = '{"type":"step","id":1,"context":{}}'
    native.items.put('{"type":"step","id":7,"context":' + "1" * 5_000 + "}")
    native.items.put('{"type":"step","id":8,"context":' + "[" * 100_000 + "]" * 100_000 + "}")
    native.items.put('{"type":"publication","id":9,"pattern":"none","name":"n"}')
    native.items.put(good)
    native.items.put("nonsense")
    native.step(2, context={"a": 1})
    native.step(3, "unknown")
    assert native.answer(2)["result"] == {"a": 1}
    failure = native.answer(7)
    assert (failure["code"], failure["retryable"]) == ("invalid_input", False)
    assert "limit (4300" in failure["message"]
    assert native.answer(8)["code"] == "invalid_input"
    assert "error" in native.answer(9)
    assert native.answer(1)["type"] == "failure"
    assert native.answer(3) == {"type": "release"}


def test_a_cancel_reaches_threads_and_coroutines(native: FakeNative, worker: Worker) -> None:
    begun = threading.Event()

    @worker.handler("def")
    def plain(ctx: StepContext) -> Any:
        begun.set()
        assert ctx.cancelled.wait(10)
        return ctx.cancel_reason

    @worker.handler("async")
    async def awaited(ctx: StepContext) -> None:
        begun.set()
        await asyncio.sleep(60)

    @worker.handler("blocks")
    async def blocks(ctx: StepContext) -> None:
        time.sleep(0.3)

    worker.start()
    for id, name in ((1, "def"), (2, "async")):
        begun.clear()
        native.step(id, name)
        assert begun.wait(10)
        native.give(type="cancel", id=id, why="timeout")
    assert native.answer(1)["result"] == "timeout"
    failure = native.answer(2)
    assert (failure["message"], failure["code"]) == ("stopped: timeout", "cancelled")
    # Cancelled before it has begun, it is answered too.
    native.step(3, "blocks")
    native.step(4, "async")
    native.give(type="cancel", id=4, why="cancelled")
    native.give(type="cancel", id=99, why="cancelled")
    assert native.answer(4)["code"] == "cancelled"
    assert native.answer(3)["type"] == "success"


@pytest.mark.parametrize("early", [False, True])
def test_loops_are_answered_whoever_is_first(
    native: FakeNative, worker: Worker, early: bool
) -> None:
    native.early = early

    @worker.handler("h")
    async def ask(ctx: StepContext) -> Any:
        return await ctx._ask_later("batch_page", '{"n": 1}')

    worker.start()
    native.step(1)
    assert native.answer(1)["result"] == ["batch_page", {"n": 1}]


def test_whatever_is_raised_is_a_failure(native: FakeNative, worker: Worker) -> None:
    class Strange(BaseException):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    @worker.handler("exit")
    def leave(ctx: StepContext) -> None:
        raise SystemExit(3)

    @worker.handler("async")
    async def interrupt(ctx: StepContext) -> None:
        raise KeyboardInterrupt

    @worker.handler("strange")
    def strange(ctx: StepContext) -> None:
        raise Strange

    @worker.handler("deep")
    def deep(ctx: StepContext) -> None:
        deep(ctx)

    worker.start()
    for id, name in enumerate(("exit", "async", "strange", "deep"), 1):
        native.step(id, name)
    messages = [native.answer(id)["message"] for id in (1, 2, 3, 4)]
    assert messages[0].startswith("SystemExit: 3 (test_runtime.py:")
    assert messages[1].startswith("KeyboardInterrupt (test_runtime.py:")
    assert messages[2] == "Strange, which cannot be described: KeyboardInterrupt"
    assert messages[3].startswith("RecursionError: maximum recursion depth exceeded")
    native.step(5, "exit")
    assert native.answer(5)["retryable"]


def test_a_loop_that_is_blocked_is_warned_of(
    native: FakeNative, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    @worker.handler("h")
    async def blocks(ctx: StepContext) -> None:
        time.sleep(1.6)

    worker.start()
    native.step(1)
    native.answer(1)
    said = [one.getMessage() for one in caplog.records if one.name == "pgtasker"]
    assert any("blocked the event loop" in one and "in blocks" in one for one in said), said


def test_each_call_has_context_variables_of_its_own(native: FakeNative, worker: Worker) -> None:
    number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)

    @worker.handler("h")
    def count(ctx: StepContext) -> int:
        number.set(number.get() + 1)
        return number.get()

    worker.start()
    for id in range(1, 20):
        native.step(id)
    assert {native.answer(id)["result"] for id in range(1, 20)} == {1}
    assert current() is None


def test_the_trace_of_the_step_is_current(native: FakeNative, worker: Worker) -> None:
    trace = pytest.importorskip("opentelemetry.trace")

    def where(ctx: StepContext) -> str:
        return format(trace.get_current_span().get_span_context().trace_id, "032x")

    async def where_async(ctx: StepContext) -> str:
        return where(ctx)

    worker.handler("def", where)
    worker.handler("async", where_async)
    worker.start()
    ids = ["0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c"]
    for id, name in enumerate(("def", "async")):
        native.step(id + 1, name, traceparent=f"00-{ids[id]}-b7ad6b7169203331-01")
    native.step(3, "def")
    assert [native.answer(id)["result"] for id in (1, 2)] == ids
    assert native.answer(3)["result"] == "0" * 32


def test_publishers_change_keep_back_and_fail(native: FakeNative, worker: Worker) -> None:
    @worker.publisher("p.*")
    def publish(event: Publication, ctx: StepContext) -> Any:
        if event.payload == 0:
            return None
        if event.payload == 1:
            raise ValueError("no")
        if event.payload == 2:
            return "something else"
        event.metadata = {"attempt": ctx.attempt}
        return event

    @worker.publisher("a.*")
    async def publish_async(event: Publication, ctx: StepContext) -> Any:
        return event

    worker.start()
    step = {name: value for name, value in STEP.items() if name not in ("type", "id")}
    common = {"type": "publication", "name": "p.x", "metadata": None, "step": step}
    for payload in range(4):
        native.give(**{**common, "id": payload + 1, "pattern": "p.*", "payload": payload})
    native.give(**{**common, "id": 5, "pattern": "a.*", "payload": "a"})
    assert native.answer(1) is None
    assert native.answer(2)["error"].startswith("ValueError: no (test_runtime.py:")
    assert native.answer(3)["error"] == "a publisher returns the event or None, not str"
    assert native.answer(4) == {"payload": 3, "metadata": {"attempt": 1}}
    assert native.answer(5) == {"payload": "a", "metadata": None}


def test_what_a_resolver_has_found_is_kept(native: FakeNative, worker: Worker) -> None:
    asked = []

    async def found(ctx: StepContext) -> str:
        return f"{ctx.handler} in {threading.current_thread().name}"

    @worker.resolver
    def find(name: str) -> Any:
        asked.append(name)
        if name == "broken":
            raise ValueError("no plug-in")
        return {"async": found, "def": lambda ctx: ctx.handler}.get(name)

    worker.start()
    names = ["def", "def", "async", "async", "other", "other", "broken"]
    answers = []
    for id, name in enumerate(names, 1):
        native.step(id, name)
        answers.append(native.answer(id))
    assert [one.get("result") for one in answers[:4]] == [
        "def", "def", "async in pgtasker-loop", "async in pgtasker-loop",
    ]  # fmt: skip
    assert answers[4] == answers[5] == {"type": "release"}
    assert answers[6]["message"].startswith("ValueError: no plug-in")
    assert asked == ["def", "async", "other", "other", "broken"]


def test_lines_of_the_worker_arrive_in_logging(
    native: FakeNative, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.handler("h", lambda ctx: None)
    worker.start()
    fields = {"task_id": "t", "step": "s", "n": 7}
    native.give(type="log", level="WARN", target="x", message="slow", fields=fields)
    native.step(1)
    native.answer(1)
    record: Any = next(one for one in caplog.records if one.getMessage().startswith("slow"))
    assert (record.levelno, record.task_id, record.step) == (logging.WARNING, "t", "s")
    assert record.getMessage() == "slow task_id=t step=s n=7"


def test_it_runs_in_the_callers_loop_until_it_is_cancelled(
    native: FakeNative, worker: Worker
) -> None:
    @worker.handler("h")
    async def thread(ctx: StepContext) -> str:
        return threading.current_thread().name

    async def program() -> None:
        task = asyncio.create_task(worker.arun())
        native.step(1)
        while 1 not in native.answers:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(program())
    assert native.answer(1)["result"] == threading.current_thread().name
    assert not worker.is_running


def test_nothing_is_registered_while_it_runs(native: FakeNative, worker: Worker) -> None:
    worker.start()
    with pytest.raises(RuntimeError, match="before it starts"):
        worker.handler("h", lambda ctx: None)
    with pytest.raises(RuntimeError, match="runs already"):
        worker.start()
    assert worker.stop(10) and worker.stop()
    assert isinstance(worker, Program)
