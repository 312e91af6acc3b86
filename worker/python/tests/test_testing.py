"""Handlers without a worker: the functions and mixins of every capability."""

import asyncio
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Dict

import pytest

from pgtasker import (
    Api, Batchable, Cursor, Decision, Permanent, Response, Retryable, StepContext, StepOutcome,
    current, testing,
)  # fmt: skip


@dataclass
class Order:
    order_id: int


def test_the_native_module_is_not_needed() -> None:
    assert "pgtasker._native" not in sys.modules or sys.modules["pgtasker._native"] is not None
    import pgtasker.client

    assert callable(pgtasker.client.enqueue_task)


def test_a_result_its_events_and_what_it_was_given() -> None:
    def charge(ctx: StepContext) -> Dict[str, Any]:
        assert current() is ctx
        ctx.publish("payment.processed", {"amount": 5})
        ctx.publish("payment.other")
        return {
            "order": ctx.context(Order).order_id,
            "currency": ctx.config()["currency"],
            "amount": ctx.parent("reserve")["amount"],
            "attempt": ctx.attempt,
            "state": ctx.state,
        }

    run = testing.run(
        charge,
        context=Order(7),
        config={"currency": "EUR"},
        parents={"reserve": {"amount": 5}},
        attempt=2,
        state="s",
    )
    expected = {"order": 7, "currency": "EUR", "amount": 5, "attempt": 2, "state": "s"}
    assert run.result == expected and run.failure is None
    assert run.events == [("payment.processed", {"amount": 5}), ("payment.other", None)]


def test_async_handlers_and_classes_too() -> None:
    async def slow(ctx: StepContext) -> int:
        await asyncio.sleep(0)
        return ctx.attempt

    class Route(Decision):
        def call(self, ctx: StepContext) -> StepOutcome:
            return self.choose("a", "b").with_result({"n": 2})

    class Payments:
        def refund(self, ctx: StepContext) -> str:
            return ctx.handler

    assert testing.run(slow).result == 1
    assert asyncio.run(testing.arun(slow, attempt=3)).result == 3
    assert testing.run(Route).outcome == {
        "type": "decision", "create_steps": ["a", "b"], "result": {"n": 2},
    }  # fmt: skip
    assert testing.run(Payments, method="refund").result == "step.refund"
    assert testing.run(lambda ctx: ctx.choose_none()).outcome["create_steps"] == []


def test_failures_are_as_the_worker_would_judge_them() -> None:
    def busy(ctx: StepContext) -> None:
        raise Retryable("busy", code="b", retry_after=2)

    def broken(ctx: StepContext) -> None:
        raise ZeroDivisionError("no")

    def strange(ctx: StepContext) -> Any:
        return {"a": [float("nan")]}

    failure = testing.run(busy).failure
    assert failure is not None and failure["retry_after_ms"] == 2_000
    run = testing.run(broken)
    assert run.failure is not None and run.failure["retryable"]
    assert run.failure["message"].startswith("ZeroDivisionError: no (test_testing.py:")
    assert isinstance(run.error, ZeroDivisionError)
    with pytest.raises(AssertionError):
        run.result
    failure = testing.run(strange).failure
    assert failure is not None and failure["code"] == "invalid_result"
    assert failure["message"].endswith("nan is no JSON, at /a/0")


def test_batches_from_cut_to_total() -> None:
    class Cut(Batchable):
        def call(self, ctx: StepContext) -> StepOutcome:
            return self.batches(self.split(range(10, 20), 3)).for_worker("add")

    def add(ctx: StepContext) -> Any:
        cursor, last = ctx.cursor(Cursor), ctx.last_checkpoint
        if last is None:
            return ctx.checkpoint(cursor.start + 1, 1, sum(cursor))
        return last.accumulated + last.cursor

    def total(ctx: StepContext) -> int:
        batch = ctx.batch("add")
        assert (batch.instances, batch.complete, batch.failed) == (3, 3, 0)
        assert batch.results(int) == [1, 2, 3]
        pages = list(ctx.batch("add").pages(int, page_size=2))
        assert [[one.number for one in page] for page in pages] == [[1, 2], [3]]
        return sum(one.result or 0 for page in pages for one in page)

    async def total_async(ctx: StepContext) -> int:
        with pytest.raises(RuntimeError, match="async for"):
            next(iter(ctx.batch("add").pages()))
        results = [one.result async for page in ctx.batch("add").pages(int) for one in page]
        return sum(result or 0 for result in results)

    cursors = [{"start": 10, "end": 14}, {"start": 14, "end": 17}, {"start": 17, "end": 20}]
    assert testing.run(Cut).outcome == {
        "type": "batches", "cursors": cursors, "result": None, "worker_step": "add",
    }  # fmt: skip
    assert testing.run(add, inputs=cursors[0]).outcome == {
        "type": "checkpoint", "cursor": 11, "items_processed": 1, "accumulated": 46,
    }  # fmt: skip
    saved = {"cursor": 11, "items_processed": 1, "accumulated": 46}
    assert testing.run(add, inputs=cursors[0], checkpoint=saved).result == 57
    failure = testing.run(add).failure
    assert failure is not None and "is no instance of a batch" in failure["message"]
    for handler in (total, total_async):
        assert testing.run(handler, pages={"add": [1, 2, 3]}).result == 6


def test_parts_of_ranges_are_those_of_the_rust_worker() -> None:
    ctx = Batchable()
    lengths = [len(one) for one in ctx.split(range(10), 4)]
    assert lengths == [3, 3, 2, 2]
    assert ctx.split(range(2), 5) == [Cursor(0, 1), Cursor(1, 2)]
    assert ctx.split(range(0), 5) == [] and ctx.split(range(3), 0) == [Cursor(0, 3)]
    assert ctx.split_by(range(5), 2) == [Cursor(0, 2), Cursor(2, 4), Cursor(4, 5)]
    with pytest.raises(ValueError):
        ctx.split(range(0, 10, 2), 2)


def test_calls_over_http_in_a_thread_and_in_a_loop() -> None:
    def answer(request: testing.HttpRequest) -> Any:
        return (200, {"id": request.json["n"]}) if request.method == "POST" else 503

    class Call(Api):
        def call(self, ctx: StepContext) -> Any:
            response: Response = self.post("http://x/?key=secret", json={"n": 7}, timeout=1)
            assert (response.status, response.text) == (200, '{"id":7}')
            assert "secret" not in repr(response)
            return response.json()["id"]

    async def awaited(ctx: StepContext) -> Any:
        lazy = ctx.post("http://x", json={"n": 8})
        with pytest.raises(RuntimeError, match="await it"):
            lazy.status
        return (await lazy).json(Dict[str, int])["id"]

    run = testing.run(Call, http=answer)
    assert run.result == 7 and run.requests[0].json == {"n": 7}
    assert testing.run(awaited, http=answer).result == 8
    failure = testing.run(lambda ctx: ctx.get("http://x"), http=answer).failure
    assert failure is not None and (failure["code"], failure["retryable"]) == ("http_503", True)
    allowed = testing.run(lambda ctx: ctx.get("http://x", allow_status=[503]).status, http=answer)
    assert allowed.result == 503
    misfit = testing.run(
        lambda ctx: ctx.post("http://x", json={"n": "s"}).json(Dict[str, int]), http=answer
    ).failure
    assert misfit is not None and misfit["code"] == "invalid_response"
    assert misfit["message"] == "POST http://x: body.id: expected an integer, found a string"


def test_the_event_of_a_cancel_is_made_when_it_is_looked_at() -> None:
    def handler(ctx: StepContext) -> str:
        assert not ctx.cancelled.is_set() and ctx.cancel_reason is None
        ctx._cancel("cancelled")
        assert ctx.cancelled.is_set() and isinstance(ctx.cancelled, threading.Event)
        return str(ctx.cancel_reason)

    assert testing.run(handler).result == "cancelled"


def test_a_request_that_is_not_awaited_is_told() -> None:
    async def forgets(ctx: StepContext) -> None:
        ctx.post("http://x/y?key=secret", json=1)

    with pytest.warns(RuntimeWarning, match="POST http://x/y was never sent: await it"):
        assert testing.run(forgets, http=lambda request: 200).requests == []


def test_steps_are_chosen_by_their_names() -> None:
    chosen: Any = ["a", "b"]
    error = testing.run(lambda ctx: ctx.choose(chosen)).error
    assert 'choose("a", "b"), not by list' in str(error)


def test_own_mistakes_are_told() -> None:
    def handler(ctx: StepContext) -> None:
        with ctx.transaction("no connection"):
            pass

    failure = testing.run(handler).failure
    assert failure is not None and "str is no connection of psycopg" in failure["message"]
    with pytest.raises(RuntimeError, match="no step runs here"):
        Api().get("http://x")
    missing = testing.run(lambda ctx: ctx.parent("x")).failure
    assert missing == {
        "type": "failure", "retryable": False, "code": "invalid_input",
        "message": "parents.x: not a parent of step step (its parents: none)",
    }  # fmt: skip
    assert isinstance(testing.run(lambda ctx: ctx.parent("x")).error, Permanent)


def test_the_readme_does_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    blocks = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    app = ModuleType("app")
    # Where types are looked up by the names of modules.
    monkeypatch.setitem(sys.modules, "app", app)
    for block in (blocks[0], blocks[-1]):
        exec(block, vars(app))
    app.test_charge()
    failure = testing.run(app.charge, context={"order_id": 7, "cents": 0}).failure
    assert failure is not None and failure["code"] == "no_amount"
