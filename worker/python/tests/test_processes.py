"""Workers as processes: signals, kills, several of them, and what they log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support import ROOT, Place, until

APP = """
import asyncio, logging, os, time
from pathlib import Path
from pgtasker import Worker

folder = Path(__file__).parent
worker = Worker("{namespace}", lease=2, grace=1.5, poll_interval=0.2)

@worker.handler("quick")
def quick(ctx):
    logging.getLogger("app").info("inside")
    return os.getpid()

@worker.handler("one_second")
def one_second(ctx):
    (folder / "begun").touch()
    time.sleep(1)
    return "done"

@worker.handler("for_ever")
def for_ever(ctx):
    (folder / "begun").touch()
    if ctx.claim_no == 1:
        time.sleep(3_600)
    return "done"

@worker.handler("in_a_thread")
async def in_a_thread(ctx):
    await asyncio.to_thread(for_ever, ctx)
"""


class App:
    """Runs ``pgtasker-worker``."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place, self.folder = place, folder
        (folder / "app.py").write_text(APP.replace("{namespace}", place.namespace))
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pgtasker.cli", "app:worker", *options]
        paths = os.pathsep.join([str(ROOT / "worker/python"), os.environ.get("PYTHONPATH", "")])
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, "DATABASE_URL": self.place.url, "PYTHONPATH": paths},
                stderr=log,
            )
        self.processes.append(process)
        return process

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def begun(self) -> None:
        until((self.folder / "begun").exists)

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture()
def app(place: Place, tmp_path: Path) -> Iterator[App]:
    app = App(place, tmp_path)
    for name in ("quick", "one_second", "for_ever", "in_a_thread"):
        place.apply([{"name": "s", "handler": {"callable": name}}], name=name)
    yield app
    app.end()


def test_what_runs_ends_within_the_grace(app: App) -> None:
    process = app.start()
    task = app.place.enqueue(name="one_second")
    app.begun()
    process.terminate()
    assert process.wait(30) == 0
    assert app.place.result(task) == {"s": "done"}


def test_beyond_the_grace_it_goes_to_another_worker(app: App) -> None:
    process = app.start()
    task = app.place.enqueue(name="for_ever")
    app.begun()
    process.terminate()
    assert process.wait(30) == 0, app.log()
    app.start()
    assert app.place.result(task) == {"s": "done"}
    assert app.place.steps(task)["s"]["claim_no"] == 2


def test_a_thread_of_the_loop_does_not_keep_the_process(app: App) -> None:
    process = app.start()
    app.place.enqueue(name="in_a_thread")
    app.begun()
    process.terminate()
    assert process.wait(30) == 0


def test_a_second_signal_ends_it_at_once(app: App) -> None:
    process = app.start()
    app.place.enqueue(name="for_ever")
    app.begun()
    process.send_signal(signal.SIGINT)
    # So that both arrive.
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 128 + signal.SIGINT


def test_after_kill_9_another_worker_finishes(app: App) -> None:
    process = app.start()
    task = app.place.enqueue(name="for_ever")
    app.begun()
    process.kill()
    process.wait()
    app.start()
    assert app.place.result(task) == {"s": "done"}


def test_the_last_spans_are_exported_before_the_end(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported: list[str] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            exported.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        # Nothing is exported before.
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
        process = app.start()
        app.place.result(app.place.enqueue(name="quick"))
        assert exported == []
        process.terminate()
        assert process.wait(30) == 0, app.log()
        server.shutdown()
    assert exported == ["/v1/traces"]


def children(process: subprocess.Popen[bytes]) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if int(parent) == process.pid:
                found.append(int(folder.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").exists(), reason="it looks into /proc")
def test_several_processes_are_kept_alive_and_end_together(app: App) -> None:
    process = app.start("--processes", "2")
    until(lambda: len(children(process)) == 2)
    first = children(process)
    assert app.place.result(app.place.enqueue(name="quick"))["s"] in first
    os.kill(first[0], signal.SIGKILL)
    until(lambda: len(set(children(process)) - set(first)) == 1)
    until(lambda: f"has ended with {-signal.SIGKILL}: started again in 1 s" in app.log())
    last = children(process)
    process.terminate()
    assert process.wait(30) == 0, app.log()
    assert not any(map(is_alive, last))


@pytest.mark.skipif(not Path("/proc").exists(), reason="it looks into /proc")
def test_they_end_with_the_process_that_started_them(app: App) -> None:
    process = app.start("--processes", "2")
    until(lambda: len(children(process)) == 2)
    pids = children(process)
    app.place.result(app.place.enqueue(name="quick"))
    process.kill()
    process.wait()
    until(lambda: not any(map(is_alive, pids)))


def test_lines_of_the_log_have_task_and_step(app: App) -> None:
    process = app.start()
    task = app.place.enqueue(name="quick")
    app.place.result(task)
    process.terminate()
    assert process.wait(30) == 0
    assert f"INFO app [{task} s] inside" in app.log()
    assert " pgtasker [- -] " in app.log()


FORGOTTEN = """
import sys, threading
from pgtasker import Worker

worker, begun = Worker(sys.argv[1], grace=0.3), threading.Event()

@worker.handler("for_ever")
def for_ever(ctx):
    begun.set()
    while True:
        try:
            ctx.publish("nothing", 1)
        except Exception:
            pass

worker.start()
begun.wait(60)
"""


def test_a_program_ends_whatever_its_worker_does(app: App) -> None:
    app.place.enqueue(name="for_ever")
    ended = subprocess.run(
        [sys.executable, "-c", FORGOTTEN, app.place.namespace],
        env={**os.environ, "DATABASE_URL": app.place.url},
        cwd=ROOT / "worker/python",
        timeout=60,
    )
    assert ended.returncode == 0
