"""The handlers of the conformance test in Python: those of ``rust.rs``, by the same names."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Optional

import psycopg

from pgtasker import (
    Cursor, DomainEvent, EventConsumer, Permanent, Publication, Retryable, StepContext,
    StepOutcome, Worker,
)  # fmt: skip

worker = Worker(state="EUR")
_GATES = os.environ["CONFORMANCE_GATES"]
_URL = os.environ["DATABASE_URL"]


def note(task: Any, text: str) -> None:
    """Tells the driver. In one call, as several threads write."""
    os.write(1, f"note {task} {text}\n".encode())


def is_open(ctx: StepContext, name: str) -> bool:
    return os.path.exists(f"{_GATES}/{ctx.task_id}.{name}")


def gate(ctx: StepContext, name: str) -> None:
    """Waits until the driver opens it."""
    while not is_open(ctx, name):
        time.sleep(0.01)


@worker.handler("echo")
def echo(ctx: StepContext) -> Any:
    return ctx.context()


@dataclass
class Line:
    sku: str
    quantity: int


@dataclass
class Order:
    order_id: int
    lines: list[Line]
    note: Optional[str] = None


@worker.handler("typed")
def typed(ctx: StepContext) -> Any:
    order = ctx.context(Order)
    return {
        "id": order.order_id,
        "total": sum(line.quantity for line in order.lines),
        "skus": [line.sku for line in order.lines],
        "note": order.note,
    }


worker.handler("typed_config", lambda ctx: ctx.config(Order).order_id)
worker.handler("typed_parent", lambda ctx: ctx.parent("a", Order).order_id)


@worker.handler("fail")
async def fail(ctx: StepContext) -> Any:
    failure = ctx.context()
    if "until" in failure and ctx.attempt >= failure["until"]:
        return ctx.attempt
    message, code = failure["message"] * failure.get("times", 1), failure.get("code")
    if failure["kind"] == "permanent":
        raise Permanent(message, code=code)
    delay = failure.get("retry_after_ms")
    raise Retryable(message, code=code, retry_after=None if delay is None else delay / 1_000)


class NoSuchItem(Exception):
    pass


@worker.handler("foreign")
def foreign(ctx: StepContext) -> None:
    try:
        raise LookupError("the shelf is empty")
    except LookupError as error:
        raise NoSuchItem("no such item") from error


class Thrown(BaseException):
    pass


@worker.handler("throw")
def throw(ctx: StepContext) -> None:
    raise Thrown("thrown as it is")


@worker.handler("bad")
def bad(ctx: StepContext) -> Any:
    given = ctx.context()
    kind, n = given["kind"], given.get("n", 0)
    if kind == "deep":
        value: Any = 1
        for _ in range(n):
            value = [value]
        return value
    cycle: dict[str, Any] = {"a": []}
    cycle["a"].append(cycle)
    return {
        "nul": {"a": ["b\0"]},
        "nul_key": {"a": {"b\0": 1}},
        "large": "x" * n,
        "nan": {"a": [float("nan")]},
        "infinity": [float("inf")],
        "object": {"a": [object()]},
        "cycle": cycle,
        "surrogate": {"a": "\ud800"},
    }[kind]


@worker.handler("types")
def types(ctx: StepContext) -> Any:
    return {
        "time": datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=timezone.utc),
        "ids": {"half": 0.5, "tenth": 0.1},
        "none": None,
        "yes": True,
        "big": 2**64 - 1,
    }


@worker.handler("stubborn")
def stubborn(ctx: StepContext) -> str:
    note(ctx.task_id, "began")
    gate(ctx, "go")
    note(ctx.task_id, "returns")
    return "done"


@worker.handler("watchful")
def watchful(ctx: StepContext) -> None:
    note(ctx.task_id, "began")
    ctx.cancelled.wait()
    note(ctx.task_id, "stops")
    raise Retryable("stopped")


@worker.handler("patient")
def patient(ctx: StepContext) -> None:
    ctx.cancelled.wait()


@worker.handler("linger")
def linger(ctx: StepContext) -> int:
    note(ctx.task_id, f"began attempt {ctx.attempt}")
    gate(ctx, "go")
    note(ctx.task_id, "returns")
    return ctx.attempt


def quick(ctx: StepContext) -> str:
    note(ctx.task_id, f"ran {ctx.step}")
    return ctx.step


worker.handler("quick", quick)
if "CONFORMANCE_LACKS" not in os.environ:
    worker.handler("elsewhere", quick)


@worker.handler("about")
def about(ctx: StepContext) -> Any:
    return {
        "step": ctx.step,
        "handler": ctx.handler,
        "attempt": ctx.attempt,
        "claim_no": ctx.claim_no,
        "correlation_id": ctx.correlation_id,
        "traceparent": ctx.traceparent,
        "seconds": int(ctx.timeout),
        "is_batch_instance": ctx.is_batch_instance,
        "config": ctx.config(),
        "inputs": ctx.inputs(),
        "task": ctx.task_id,
    }


@worker.handler("parent")
def parent(ctx: StepContext) -> Any:
    return ctx.parent(ctx.config()["parent"])


@worker.handler("parents")
async def parents(ctx: StepContext) -> Any:
    return ctx.parents


@worker.handler("stray")
async def stray(ctx: StepContext) -> str:
    async def fails() -> None:
        raise ValueError("nobody awaits this")

    asyncio.create_task(fails())
    return ctx.step


@worker.handler("after_fork")
def after_fork(ctx: StepContext) -> Any:
    child = os.fork()
    if child == 0:
        os._exit(0)
    return [ctx.step, os.waitpid(child, 0)[1] == 0]


@worker.handler("in_fork")
def in_fork(ctx: StepContext) -> Any:
    """What a call in the child is told."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            ctx.publish("heard.fork", 1)
            said = "nothing"
        except Exception as error:
            said = str(error)
        os.write(write, said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    return "after the fork" in os.read(read, 1_000).decode()


@worker.callable("payments")
class Payments:
    def charge(self, ctx: StepContext) -> Any:
        return [ctx.handler, ctx.state]

    async def refund(self, ctx: StepContext) -> Any:
        return [ctx.handler, ctx.state]


if "CONFORMANCE_RESOLVES" in os.environ:

    @worker.resolver
    def resolve(name: str) -> Any:
        return (lambda ctx: ["resolved", ctx.handler]) if name == "found" else None


@worker.handler("relay_python")
def relay(ctx: StepContext) -> Any:
    return next(iter(ctx.parents.values())) if ctx.parents else ctx.context()


@worker.handler("announce")
def announce(ctx: StepContext) -> Any:
    said = ctx.context()
    for name, payload in said.get("events", []):
        ctx.publish(name, payload)
    if said.get("fails") == "permanent":
        raise Permanent("refused", code="card_refused")
    if "fails" in said and ctx.attempt == 1:
        raise Retryable("busy", code="busy")
    return said.get("result")


@worker.publisher("paid.*")
async def publish(event: Publication, ctx: StepContext) -> Publication | None:
    amount = event.payload.get("amount")
    if amount == 0:
        return None
    if amount == 13:
        raise Permanent("an unlucky amount")
    event.payload["seen"] = True
    event.metadata = {"attempt": ctx.attempt, "order": ctx.context().get("order")}
    return event


def hear(subscription: Any) -> None:
    for event in subscription:
        note(event.task_id, f"heard {event.name} {json.dumps(event.payload)}")


threading.Thread(target=hear, args=[worker.subscribe("heard.*")], daemon=True).start()


@worker.handler("decide")
def decide(ctx: StepContext) -> Any:
    steps = ctx.context().get("choose")
    if steps is None:
        return "no choice"
    if not steps:
        return ctx.choose_none()
    return ctx.choose(*steps).with_result({"chosen": len(steps)})


@worker.handler("cut")
def cut(ctx: StepContext) -> StepOutcome:
    given = ctx.context()
    if "size" in given:
        return ctx.batches(ctx.split_by(range(given["rows"]), given["size"]))
    return ctx.batches(ctx.split(range(given["rows"]), given.get("parts", 1)))


@worker.handler("cut_any")
def cut_any(ctx: StepContext) -> StepOutcome:
    given = ctx.context()
    outcome = ctx.batches(given["cursors"]).with_result("cut")
    return outcome.for_worker(given["worker"]) if "worker" in given else outcome


@worker.handler("keep")
def keep(ctx: StepContext) -> Any:
    last = ctx.last_checkpoint
    if last is None:
        return ctx.checkpoint(ctx.context(), 3, ctx.context())
    return [last.cursor, last.items_processed, last.accumulated]


@worker.handler("add")
async def add(ctx: StepContext) -> Any:
    cursor, last = ctx.cursor(Cursor), ctx.last_checkpoint
    start, total = (cursor.start, 0) if last is None else (last.cursor, last.accumulated)
    end = min(cursor.end, start + 5)
    total += sum(range(start, end))
    if ctx.context().get("fails") == cursor.start:
        raise Permanent("this one fails", code="failed")
    if end < cursor.end:
        return ctx.checkpoint(end, end - cursor.start, total)
    return total


@worker.handler("total")
def total(ctx: StepContext) -> Any:
    batch = ctx.batch("add")
    pages = list(batch.pages(int, page_size=3))
    every = [one for page in pages for one in page]
    return {
        "instances": batch.instances,
        "complete": batch.complete,
        "failed": batch.failed,
        "inline": batch.results(int),
        "pages": [len(page) for page in pages],
        "sum": sum(one.result or 0 for one in every),
        "states": [[one.number, one.step, one.state] for one in every],
    }


@worker.handler("same_checkpoint")
def same_checkpoint(ctx: StepContext) -> Any:
    return ctx.checkpoint({"at": 1}, 1)


@worker.handler("book")
def book(ctx: StepContext) -> Any:
    kind = ctx.context()["kind"]
    with psycopg.connect(_URL) as connection, ctx.transaction(connection) as tx:
        connection.execute("insert into conformance_effects values (%s)", [ctx.task_id])
        note(ctx.task_id, "written")
        if kind == "stale":
            gate(ctx, "go")
        elif kind == "error":
            raise Permanent("sold out", code="sold_out")
        elif kind == "sql":
            connection.execute("select 1 / 0")
        elif kind == "nul":
            tx.complete(["\0"])
            return None
        if kind == "checkpoint" and ctx.last_checkpoint is None:
            tx.complete_with(ctx.checkpoint(1, 1, "half"))
        else:
            tx.complete({"booked": kind})
    if kind == "after":
        raise Permanent("after the end")
    return None


@worker.handler("call")
def call(ctx: StepContext) -> Any:
    given = ctx.context()
    response = ctx.post(
        os.environ["CONFORMANCE_WEB"] + given["path"],
        json={"big": 2**64 - 1, "text": "\u00fc"},
        headers={"X-Own": "1"},
        idempotency_suffix="first",
        allow_status=[given["allow"]] if "allow" in given else [],
    )
    return [response.status, response.header("content-type"), response.json()]


@worker.handler("compute")
async def compute(ctx: StepContext) -> Any:
    """Holds up the loop."""
    note(ctx.task_id, "began")
    while not is_open(ctx, "go"):
        pass
    return ctx.claim_no


worker.handler("nothing", lambda ctx: None)


@worker.handler("join", paged=True)
def join(ctx: StepContext) -> Any:
    return [[name, result] for page in ctx.parent_pages() for name, result in page]


_again = [True]
consumer = EventConsumer(os.environ["TASKER_WORKER_NAMESPACE"].split(",")[0])


@consumer.handler
def consume(event: DomainEvent) -> None:
    note(event.task_id, f"consumes {json.dumps(event.payload)}")
    if event.payload["kind"] == "never":
        raise Permanent("no such order")
    if event.payload["kind"] == "again" and _again:
        _again.pop()
        raise Retryable("later")
