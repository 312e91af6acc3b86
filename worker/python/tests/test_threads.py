"""As few threads as the work needs, and as many as it needs."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

import pytest

from pgtasker.threads import Threads

SOON = 10.0


@pytest.fixture
def threads() -> Threads:
    return Threads("test")


def _eventually(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


def test_short_work_is_done_by_few_threads(threads: Threads) -> None:
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    for _ in range(200):
        for n in range(5):
            threads.submit(done.put, n)
        for _ in range(5):
            done.get(timeout=SOON)
    assert threads._count <= 10
    threads.end()


def test_work_that_waits_gets_a_thread_each(threads: Threads) -> None:
    gate, waiting = threading.Event(), threading.Semaphore(0)
    done: queue.SimpleQueue[int] = queue.SimpleQueue()

    def wait(n: int) -> None:
        waiting.release()
        gate.wait()
        done.put(n)

    for n in range(50):
        threads.submit(wait, n)
    for _ in range(50):
        assert waiting.acquire(timeout=SOON)
    # What comes next does not wait for them.
    threads.submit(done.put, -1)
    assert done.get(timeout=SOON) == -1
    gate.set()
    assert sorted(done.get(timeout=SOON) for _ in range(50)) == list(range(50))
    assert threads._count <= 51
    threads.end()


def test_what_waits_is_done_before_the_end() -> None:
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    threads = Threads("ends", 1)

    def work(n: int) -> None:
        time.sleep(0.001)
        done.put(n)

    for n in range(20):
        threads.submit(work, n)
    threads.end()
    assert [done.get(timeout=SOON) for _ in range(20)] == list(range(20))
    _eventually(
        "the thread has ended",
        lambda: not any(one.name.startswith("ends-") for one in threading.enumerate()),
    )


def test_nothing_is_lost(threads: Threads) -> None:
    done: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()

    def work(of: tuple[int, int]) -> None:
        if of[1] % 50 == 0:
            time.sleep(0.001)
        done.put(of)

    def post(poster: int) -> None:
        for n in range(250):
            threads.submit(work, (poster, n))

    posters = [threading.Thread(target=post, args=(poster,)) for poster in range(8)]
    for poster in posters:
        poster.start()
    for poster in posters:
        poster.join()
    assert len({done.get(timeout=SOON) for _ in range(2000)}) == 2000
    threads.end()


def test_where_there_are_no_more_threads_those_there_are_do_the_work(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: queue.SimpleQueue[int] = queue.SimpleQueue()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        threads.submit(done.put, 0)
    monkeypatch.setattr(threading.Thread, "start", start)
    threads.submit(done.put, 1)
    assert done.get(timeout=SOON) == 1
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for n in range(20):
        threads.submit(done.put, n)
    assert [done.get(timeout=SOON) for _ in range(20)] == list(range(20))
    threads.end()
