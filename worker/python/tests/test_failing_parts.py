"""Whatever fails within the library or the program's logging, each call is answered."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fake import STEP, FakeNative

from pgtasker import EventConsumer, Permanent, Publication, Retryable, StepContext, Worker
from pgtasker.events import DomainEvent
from pgtasker.runtime import _Watch

EVENT = {
    "id": "00000000-0000-0000-0000-000000000001", "name": "a.b", "version": "1", "namespace": "x",
    "template": "t", "task_id": "00000000-0000-0000-0000-000000000002", "step": "s", "claim_no": 1,
    "time": "2026-12-01T00:45:36Z", "payload": None,
}  # fmt: skip
PUBLICATION = {
    "type": "publication", "pattern": "p.*", "name": "p.x", "payload": 1, "metadata": None,
    "step": {name: value for name, value in STEP.items() if name not in ("type", "id")},
}  # fmt: skip


class Refuses(FakeNative):
    """Takes no answer that has this in it."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word

    def complete(self, answers: list[tuple[int, str]]) -> int:
        if any(self.word in text for _, text in answers):
            raise RuntimeError("it cannot be taken")
        return super().complete(answers)


class Raises(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        raise SystemExit("a filter of the program")


@pytest.fixture()
def native(monkeypatch: pytest.MonkeyPatch) -> FakeNative:
    native = FakeNative()
    monkeypatch.setattr(Worker, "_launch", lambda self: native)
    monkeypatch.setattr(EventConsumer, "_launch", lambda self: native)
    return native


@pytest.fixture()
def broken_log() -> Iterator[None]:
    logger, broken = logging.getLogger("pgtasker"), Raises()
    logger.addFilter(broken)
    yield
    logger.removeFilter(broken)


@pytest.mark.usefixtures("broken_log")
def test_a_filter_that_raises_is_about_its_line_alone(native: FakeNative) -> None:
    worker = Worker("x")

    @worker.handler("h")
    def handler(ctx: StepContext) -> None:
        raise ValueError("mine")

    worker.start()
    native.give(type="log", level="ERROR", target="x", message="slow", fields={})
    native.items.put("nonsense")
    native.step(1)
    failure = native.answer(1)
    assert failure["message"].startswith("ValueError: mine") and failure["retryable"]
    assert worker.is_running and worker.stop(10)


@pytest.mark.usefixtures("broken_log")
def test_a_poller_that_fails_ends_the_worker(native: FakeNative) -> None:
    worker = Worker("x")
    subscription = worker.subscribe("a.*")

    def poll(max: int, wait: float) -> list[str]:
        raise RuntimeError("no more")

    native.poll = poll  # type: ignore[method-assign]
    worker.start()
    assert list(subscription) == []
    with pytest.raises(RuntimeError, match="no more"):
        worker.stop(10)


def test_each_part_of_the_end_is_tried(
    native: FakeNative, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any) -> None:
        raise RuntimeError("broken")

    worker = Worker("x")
    monkeypatch.setattr(Worker, "_at_end", fail)
    monkeypatch.setattr(_Watch, "look", fail)
    worker.handler("h", lambda ctx: None)
    worker.start()
    assert worker._runtime is not None
    loop = worker._runtime.loop
    native.step(1)
    assert native.answer(1)["type"] == "success"
    assert worker.stop(10)
    threads = [one for one in threading.enumerate() if one.name == "pgtasker-loop"]
    for thread in threads:
        thread.join(10)
    assert loop.is_closed()


def test_errors_that_do_not_call_the_constructor_are_what_they_are(native: FakeNative) -> None:
    class Mine(Permanent):
        def __init__(self, number: int) -> None:
            self.number = number

    class Later(Retryable):
        def __init__(self, number: int) -> None:
            self.number = number

    class Unreadable(Permanent):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    class UnreadableToo(Retryable):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    worker = Worker("x")

    def add(name: str, error: BaseException) -> None:
        @worker.handler(name)
        def handler(ctx: StepContext) -> None:
            raise error

    errors = [Mine(7), Later(7), Unreadable("a"), UnreadableToo("a")]
    for number, error in enumerate(errors):
        add(str(number), error)
    worker.start()
    for number in range(len(errors)):
        native.step(number, str(number))
    answers = [native.answer(number) for number in range(len(errors))]
    assert [one["retryable"] for one in answers] == [False, True, False, True]
    assert (answers[0]["message"], answers[1]["message"]) == ("7", "7")
    assert worker.stop(10)


def test_a_publication_is_never_answered_with_a_steps_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Strange(Exception):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    native = Refuses("secret")
    monkeypatch.setattr(Worker, "_launch", lambda self: native)
    worker = Worker("x")

    @worker.publisher("p.*")
    def publish(event: Publication, ctx: StepContext) -> Publication:
        if event.payload == 1:
            raise Strange
        event.payload = "secret"
        return event

    worker.handler("h", lambda ctx: "secret")
    worker.start()
    native.give(**{**PUBLICATION, "id": 1})
    native.give(**{**PUBLICATION, "id": 2, "payload": 2})
    native.step(3)
    assert native.answer(1) == {"error": "Strange, which cannot be described: KeyboardInterrupt"}
    assert native.answer(2) == {"error": "it cannot be taken"}
    assert (native.answer(3)["type"], native.answer(3)["code"]) == ("failure", "invalid_result")
    assert worker.stop(10)


def test_an_async_handler_of_events_is_cancelled(native: FakeNative) -> None:
    consumer = EventConsumer("x")
    begun = threading.Event()

    @consumer.handler
    async def handler(event: DomainEvent) -> None:
        begun.set()
        await asyncio.sleep(60)

    consumer.start()
    native.give(type="domain_event", id=1, event=EVENT)
    assert begun.wait(10)
    native.give(type="cancel", id=1, why="stopping")
    failure = native.answer(1)
    assert (failure["message"], failure["code"]) == ("stopped: stopping", "cancelled")
    assert failure["retryable"] and consumer.stop(10)


def test_a_handler_cannot_end_the_loop_of_all_others(
    native: FakeNative, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker("x")

    async def exits() -> None:
        raise SystemExit(3)

    @worker.handler("task")
    async def of_task(ctx: StepContext) -> None:
        await asyncio.create_task(exits())

    @worker.handler("callback")
    async def of_callback(ctx: StepContext) -> str:
        asyncio.get_running_loop().call_soon(exits().send, None)
        await asyncio.sleep(0)
        return "goes on"

    @worker.handler("stop")
    async def stops(ctx: StepContext) -> str:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.05)
        return "goes on"

    worker.start()
    native.step(1, "task")
    assert native.answer(1)["message"].startswith("SystemExit: 3")
    for id, name in ((2, "callback"), (3, "stop")):
        native.step(id, name)
        assert native.answer(id)["result"] == "goes on"
    assert "a handler has stopped the event loop" in caplog.text
    assert worker.stop(10)


def test_a_task_factory_that_fails_is_about_its_step_alone(native: FakeNative) -> None:
    worker = Worker("x")
    failing = True

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> Any:
        if failing and coroutine.__name__ == "_await":
            raise RuntimeError("no task")
        return asyncio.Task(coroutine, loop=loop, **more)

    @worker.handler("h")
    async def handler(ctx: StepContext) -> str:
        return "done"

    worker.start()
    assert worker._runtime is not None
    worker._runtime.loop.set_task_factory(factory)
    native.step(1)
    assert native.answer(1)["message"].startswith("RuntimeError: no task")
    failing = False
    native.step(2)
    assert native.answer(2)["result"] == "done"
    assert worker.stop(10)
