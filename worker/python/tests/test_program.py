"""Starts, ends, and what is shown of data, on a fake native module."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any
from uuid import UUID

import pytest
from fake import STEP, FakeNative

from pgtasker import Checkpoint, Instance, Permanent, Publication, StepContext, Worker, WorkerError
from pgtasker.capabilities import Response, shown
from pgtasker.convert import timestamp
from pgtasker.events import DomainEvent
from pgtasker.runtime import Runtime


@pytest.fixture()
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr(Worker, "_launch", lambda self: FakeNative())
    return Worker("x")


def test_a_start_that_fails_ends_the_subscriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fails:
        @staticmethod
        def start(options: str) -> Any:
            raise ValueError("an option is wrong")

    monkeypatch.setattr("pgtasker.worker.load", lambda: Fails)
    worker = Worker("x")
    heard = worker.subscribe("a.*")
    with pytest.raises(ValueError, match="an option is wrong"):
        worker.start()
    listener = threading.Thread(target=list, args=[heard], daemon=True)
    listener.start()
    listener.join(10)
    assert not listener.is_alive() and not worker.is_running


def test_a_start_that_fails_leaves_nothing_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fails(FakeNative):
        def started(self, wait: float) -> bool:
            raise RuntimeError("no database")

    natives: list[FakeNative] = [Fails(), Fails(), FakeNative()]
    monkeypatch.setattr(Worker, "_launch", lambda self: natives.pop(0))
    worker = Worker("x")
    for _ in range(2):
        with pytest.raises(WorkerError, match="no database"):
            worker.start()
        assert not worker.is_running and worker.stop()
    worker.start()
    assert worker.stop(10)


def test_a_thread_that_cannot_start_leaves_nothing_running(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(Runtime, "start", fail)
        with pytest.raises(RuntimeError, match="new thread"):
            worker.start()
    worker.start()
    assert worker.stop(10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_start_in_a_fork_says_so(worker: Worker) -> None:
    worker.start()
    with pytest.raises(RuntimeError, match="^it runs already$"):
        worker.start()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        said = "nothing"
        try:
            worker.start()
        except BaseException as error:
            said = str(error)
        os.write(write, said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    said = os.read(read, 1_000).decode()
    assert f"process {os.getpid()}" in said and f"its fork {child}" in said
    assert worker.stop(10)


def test_a_signal_is_about_its_run_alone(worker: Worker) -> None:
    def interrupt() -> None:
        while not worker.is_running:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    worker.run()
    thread.join()
    worker.start()
    time.sleep(0.3)
    assert worker.is_running and worker.stop(10)


def test_what_is_shown_of_an_object_has_no_data() -> None:
    secret: Any = {"card": "4111"}
    event = DomainEvent(
        UUID(int=1), "a.b", "1", "x", "t", UUID(int=2), "s", 1, None, None,
        timestamp("2026-12-01T00:45:36Z"), secret, secret,
    )  # fmt: skip
    values = [
        event,
        Publication("a.b", secret, secret),
        Checkpoint(secret, 7, secret),
        Instance(1, "load_001", "complete", secret, secret, secret),
    ]
    for value in values:
        assert "4111" not in repr(value) and type(value).__name__ in repr(value)
    assert "name='a.b'" in repr(event) and "items_processed=7" in repr(values[2])


@pytest.mark.parametrize(
    "url",
    [
        "https://me:4111@host:8/path",
        "https://host:8/path?key=4111",
        "https://host:8/path#4111?x",
        "https://4111@me@host:8/path?a=b@c",
        "https://host:8/path",
    ],
)
def test_urls_are_shown_without_their_secrets(url: str) -> None:
    assert shown(url) == "https://host:8/path"

    class Asks:
        def ask(self, id: int, what: str, arguments: str) -> str:
            return '{"value":{"status":200,"headers":[],"body":""}}'

        async def ask_later(self, id: int, what: str, arguments: str) -> str:
            return self.ask(id, what, arguments)

    response = StepContext(STEP, asks=Asks()).get(url)
    assert isinstance(response, Response)
    assert repr(response) == "<Response to GET https://host:8/path>"


def test_the_result_of_a_paged_parent_is_read_by_pages() -> None:
    step = StepContext({**STEP, "is_paged": True})
    with pytest.raises(Permanent, match="parents.load: too large .*parent_pages") as refused:
        step.parent("load")
    assert refused.value.code == "input_too_large"
    with pytest.raises(Permanent, match="not a parent") as refused:
        StepContext(STEP).parent("load")
    assert refused.value.code == "invalid_input"
