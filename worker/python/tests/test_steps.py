"""Steps that run on a server: documents, outcomes, errors, and where they go."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest
from support import Place, running, until

from pgtasker import Cursor, Decision, Permanent, Retryable, StepContext, StepOutcome, client


def torture() -> str:
    """JSON with all that is hard to keep."""
    deep = "[" * 90 + "1" + "]" * 90
    return (
        '{"integer": 123456789012345678901234567890, "decimal": 0.1234567890123456789012345,'
        f'"beyond": 1e400, "deep": {deep}, "": {{"": ""}}, "a/b~c": [true, false, null],'
        '"text": "\\u00fc \\ud83d\\ude00 \\u2028 \\" \\\\ \\u0001", "float": 0.30000000000000004,'
        '"small": 1e-300, "zero": -0, "2^53": 9007199254740993, "number": 1.5}'
    )


def test_every_value_comes_back_as_it_was(place: Place) -> None:
    worker = place.worker()

    @worker.handler("echo")
    def echo(ctx: StepContext) -> Any:
        return ctx.context()

    @worker.handler("again")
    async def again(ctx: StepContext) -> Any:
        return ctx.parent("echo")

    place.flow("echo", "again")
    with running(worker):
        enqueue = "select tasker.enqueue_task(%s, 'flow', %s::jsonb)"
        row = place.db.execute(enqueue, [place.namespace, torture()]).fetchone()
        assert row is not None
        place.result(row[0])
        same = place.db.execute(
            "select result = %s::jsonb from tasker.steps where task_id = %s and name = 'again'",
            [torture(), row[0]],
        ).fetchone()
    assert same == (True,)


@dataclass
class Line:
    quantity: int


@dataclass
class Order:
    lines: list[Line]


def test_a_context_that_does_not_fit_names_its_field(place: Place) -> None:
    worker = place.worker()
    worker.handler("h", lambda ctx: ctx.context(Order).lines[0].quantity)
    place.flow("h")
    with running(worker):
        good = place.enqueue(Order([Line(7)]))
        bad = place.enqueue({"lines": [{"quantity": "secret"}]})
        assert place.result(good) == {"h": 7}
        error = place.failure(bad, "h")
    assert error["code"] == "invalid_input" and "secret" not in json.dumps(error)
    assert error["message"] == (
        "context.lines[0].quantity: expected an integer, found a string"
    )


def test_an_integer_that_python_does_not_read_fails_its_own_step(place: Place) -> None:
    worker = place.worker()
    worker.handler("h", lambda ctx: "fine")
    place.flow("h")
    with running(worker):
        enqueue = "select tasker.enqueue_task(%s, 'flow', %s::jsonb)"
        digits = "1" * 5_000
        row = place.db.execute(enqueue, [place.namespace, f'{{"n": {digits}}}']).fetchone()
        assert row is not None
        other = place.enqueue()
        assert place.result(other) == {"h": "fine"}
        error = place.failure(row[0], "h")
    assert error["code"] == "invalid_input" and "limit (4300" in error["message"]


def test_both_errors_and_any_other(place: Place) -> None:
    worker = place.worker()
    times: dict[str, list[float]] = {}

    @worker.handler("busy")
    def busy(ctx: StepContext) -> str:
        times.setdefault("busy", []).append(time.monotonic())
        if ctx.attempt == 1:
            raise Retryable("busy", code="b", retry_after=0.5)
        return "at last"

    @worker.handler("no")
    async def no(ctx: StepContext) -> None:
        raise Permanent("the card was refused", code="card_refused")

    @worker.handler("broken")
    def broken(ctx: StepContext) -> None:
        try:
            raise KeyError("sku")
        except KeyError as error:
            raise ValueError("no such item") from error

    for name in ("busy", "no", "broken"):
        step = {"name": name, "handler": {"callable": name}, "retry": {"max_attempts": 3}}
        place.apply([step], name=name)
    with running(worker):
        tasks = {name: place.enqueue(name=name) for name in ("busy", "no", "broken")}
        assert place.result(tasks["busy"]) == {"busy": "at last"}
        assert times["busy"][1] - times["busy"][0] >= 0.5
        refused = place.failure(tasks["no"], "no")
        assert (refused["message"], refused["code"]) == ("the card was refused", "card_refused")
        assert place.steps(tasks["no"])["no"]["attempt"] == 1
        error = place.failure(tasks["broken"], "broken")
        assert place.steps(tasks["broken"])["broken"]["attempt"] == 3
    said = "ValueError: no such item; caused by KeyError: 'sku' (test_steps.py:"
    assert error["message"].startswith(said) and error["message"].endswith(" in broken)")


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"a": [float("nan")]}, "nan is no JSON, at /a/0"),
        ({"a": "\ud800"}, "a string holds half of a surrogate pair, at /a"),
        ({"a": {1: 2}}, "a key is an int, not a string, at /a"),
        ({"a": {1}}, "a set is no JSON, at /a"),
        ([print], "a builtin_function_or_method is no JSON, at /0"),
        ({"a": "\0"}, "a string holds the character NUL"),
    ],
)
def test_results_that_json_cannot_hold(place: Place, result: Any, said: str) -> None:
    worker = place.worker()
    worker.handler("h", lambda ctx: result)
    place.flow("h")
    with running(worker):
        error = place.failure(place.enqueue(), "h")
    assert error["code"] == "invalid_result" and said in error["message"], error


def test_a_thread_that_goes_on_after_its_timeout_holds_its_place(place: Place) -> None:
    worker = place.worker(concurrency=1)
    release, running_at_once, most = threading.Event(), [0], [0]

    def begin() -> None:
        running_at_once[0] += 1
        most[0] = max(most[0], running_at_once[0])

    @worker.handler("slow")
    def slow(ctx: StepContext) -> None:
        begin()
        assert ctx.cancelled.wait(30) and ctx.cancel_reason == "timeout"
        release.wait(30)
        running_at_once[0] -= 1

    @worker.handler("quick")
    def quick(ctx: StepContext) -> str:
        begin()
        running_at_once[0] -= 1
        return "done"

    steps = [{"name": "s", "handler": {"callable": "slow"}, "timeout_seconds": 1}]
    place.apply(steps, name="slow")
    place.apply([{"name": "q", "handler": {"callable": "quick"}}], name="quick")
    with running(worker):
        first = place.enqueue(name="slow")
        error = place.failure(first, "s")
        assert error["code"] == "timeout"
        second = place.enqueue(name="quick")
        time.sleep(1)
        assert client.task_status(place.db, second)["state"] != "complete"
        release.set()
        assert place.result(second) == {"q": "done"}
    assert most[0] == 1


def test_a_cancelled_task_stops_its_handlers(place: Place) -> None:
    worker = place.worker()
    begun, stopped = [], []

    @worker.handler("def")
    def plain(ctx: StepContext) -> None:
        begun.append("def")
        if ctx.cancelled.wait(30):
            stopped.append("def")

    @worker.handler("async")
    async def awaited(ctx: StepContext) -> None:
        begun.append("async")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            stopped.append("async")
            raise

    place.apply([{"name": n, "handler": {"callable": n}} for n in ("def", "async")])
    with running(worker):
        task = place.enqueue()
        until(lambda: len(begun) == 2)
        assert client.cancel_task(place.db, task, "test")
        until(lambda: sorted(stopped) == ["async", "def"], 10)
        assert place.settled(task)["state"] == "cancelled"


def test_a_decision_makes_its_children(place: Place) -> None:
    worker = place.worker()

    @worker.handler("route")
    class Route(Decision):
        def call(self, ctx: StepContext) -> StepOutcome:
            amount = ctx.context()["amount"]
            if amount == 0:
                return self.choose_none()
            return self.choose("a", "b").with_result({"amount": amount})

    worker.handler("leaf", lambda ctx: ctx.parent("route"))
    leaves: list[dict[str, Any]] = [
        {"name": name, "dependencies": ["route"], "handler": {"callable": "leaf"}}
        for name in ("a", "b", "c")
    ]
    route = {"name": "route", "type": "decision", "handler": {"callable": "route"}}
    place.apply([route, *leaves])
    with running(worker):
        some, none = place.enqueue({"amount": 5}), place.enqueue({"amount": 0})
        assert place.result(some) == {"a": {"amount": 5}, "b": {"amount": 5}}
        place.settled(none)
        assert set(place.steps(none)) == {"route"}


def test_a_batch_with_cursors_checkpoints_and_pages(place: Place) -> None:
    worker = place.worker()

    @worker.handler("cut")
    def cut(ctx: StepContext) -> StepOutcome:
        return ctx.batches(ctx.split(range(1, 101), 7)).with_result("cut")

    @worker.handler("add")
    async def add(ctx: StepContext) -> Any:
        cursor, last = ctx.cursor(Cursor), ctx.last_checkpoint
        start, total = (cursor.start, 0) if last is None else (last.cursor, last.accumulated)
        end = min(start + 5, cursor.end)
        total += sum(range(start, end))
        if end < cursor.end:
            return ctx.checkpoint(end, end - cursor.start, total)
        return total

    @worker.handler("total")
    def total(ctx: StepContext) -> Any:
        batch = ctx.batch("add")
        pages = [len(page) for page in batch.pages(int, page_size=3)]
        results = batch.results(int)
        assert results is not None
        return [batch.instances, batch.failed, pages, sum(results)]

    @worker.handler("total_async")
    async def total_async(ctx: StepContext) -> Any:
        numbers = [one.result async for page in ctx.batch("add").pages(int) for one in page]
        return sum(number or 0 for number in numbers)

    place.apply(
        [
            {"name": "cut", "type": "batchable", "handler": {"callable": "cut"}},
            {"name": "add", "type": "batch_worker", "dependencies": ["cut"],
             "handler": {"callable": "add"}},
            {"name": "total", "dependencies": ["add"], "handler": {"callable": "total"}},
            {"name": "more", "dependencies": ["add"], "handler": {"callable": "total_async"}},
        ]
    )  # fmt: skip
    with running(worker):
        result = place.result(place.enqueue())
    assert result == {"total": [7, 0, [3, 3, 1], 5050], "more": 5050}


def test_pages_of_parents(place: Place) -> None:
    worker = place.worker()
    worker.handler("one", lambda ctx: {"from": ctx.step})

    @worker.handler("join", paged=True)
    def join(ctx: StepContext) -> Any:
        return [name for page in ctx.parent_pages(dict) for name, _ in page]

    @worker.handler("join_async", paged=True)
    async def join_async(ctx: StepContext) -> Any:
        return [result async for page in ctx.parent_pages() for _, result in page]

    ones: list[dict[str, Any]] = [
        {"name": name, "handler": {"callable": "one"}} for name in ("a", "b")
    ]
    joins: list[dict[str, Any]] = [
        {"name": name, "dependencies": ["a", "b"], "handler": {"callable": name}}
        for name in ("join", "join_async")
    ]
    place.apply([*ones, *joins])
    with running(worker):
        result = place.result(place.enqueue())
    assert result == {"join": ["a", "b"], "join_async": [{"from": "a"}, {"from": "b"}]}


def test_methods_of_a_callable_and_state(place: Place) -> None:
    worker = place.worker(state={"currency": "EUR"})

    @worker.callable("payments")
    class Payments:
        def charge(self, ctx: StepContext) -> Any:
            return [ctx.handler, ctx.state["currency"]]

        async def refund(self, ctx: StepContext) -> Any:
            return [ctx.handler, id(self) != 0]

    place.apply(
        [
            {"name": name, "handler": {"callable": "payments", "method": name}}
            for name in ("charge", "refund")
        ]
    )
    with running(worker):
        result = place.result(place.enqueue())
    assert result == {"charge": ["payments.charge", "EUR"], "refund": ["payments.refund", True]}


def test_a_handler_that_this_worker_lacks_goes_elsewhere(place: Place) -> None:
    lacks, has = place.worker(), place.worker()
    asked = []

    @lacks.resolver
    def find(name: str) -> Any:
        asked.append(name)
        return (lambda ctx: "resolved") if name == "known" else None

    has.handler("unknown", lambda ctx: "elsewhere")
    place.flow("known", "unknown")
    with running(lacks):
        task = place.enqueue()
        until(lambda: "unknown" in asked)
        with running(has):
            assert place.result(task) == {"unknown": "elsewhere"}


def test_as_many_handlers_run_as_the_worker_has_places(place: Place) -> None:
    worker = place.worker(concurrency=64)
    together = threading.Barrier(64)
    worker.handler("h", lambda ctx: together.wait(30) >= 0)
    place.flow("h")
    with running(worker):
        tasks = client.enqueue_tasks(place.db, place.namespace, "flow", [{}] * 64)
        assert all(place.result(task) == {"h": True} for task in tasks)


def test_the_worker_tells_of_itself(place: Place) -> None:
    worker = place.worker()
    worker.handler("h", lambda ctx: None)
    assert (worker.id, worker.metrics(), worker.health()) == (None, "", {})
    with running(worker):
        known = "select 1 from tasker.worker_overview where worker_id = %s"
        until(lambda: place.db.execute(known, [worker.id]).fetchone())
        assert "tasker_" in worker.metrics()
        until(lambda: worker.health().get("healthy"))


def test_what_is_wrong_with_a_start_is_told(place: Place) -> None:
    from pgtasker import Worker, WorkerError

    def attempt(worker: Worker) -> None:
        worker.handler("h", lambda ctx: None)
        worker.start()

    with pytest.raises(ValueError, match="log"):
        attempt(place.worker(log="a=b=c"))
    with pytest.raises(WorkerError, match="at least one namespace|namespace"):
        attempt(Worker(database_url=place.url))


def test_a_fork_is_refused(place: Place) -> None:
    worker = place.worker()
    worker.handler("h", lambda ctx: None)
    with running(worker):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                worker._runtime.native.poll(1, 0.1)  # type: ignore[union-attr]
                said = "nothing"
            except RuntimeError as error:
                said = str(error)
            os.write(write, said.encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert b"start the worker after the fork" in os.read(read, 1_000)
