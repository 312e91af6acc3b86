"""A server for the tests that need one: `tasker up` of this repository, or of TASKER_BIN."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pgtasker import Worker, client

ROOT = Path(__file__).resolve().parents[3]
TASKER = os.environ.get("TASKER_BIN", str(ROOT / "target/debug/tasker"))
SETTLED = ("complete", "error", "cancelled", "blocked_by_failures", "resolved_manually")
PATIENCE = 60.0


def until(what: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """The first answer that is true."""
    deadline = time.monotonic() + patience
    while not (answer := what()):
        assert time.monotonic() < deadline, f"not within {patience} s"
        time.sleep(0.02)
    return answer


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """The database of a server that runs as long as the tests."""
    missing = [TASKER] if not Path(TASKER).exists() else []
    if importlib.util.find_spec("pgtasker._native") is None:
        missing.append("pgtasker._native")
    if missing:
        said = f"there is no {' and no '.join(missing)}"
        if os.environ.get("PGTASKER_REQUIRE_SERVER"):
            pytest.fail(said)
        pytest.skip(said)
    with tempfile.TemporaryDirectory(prefix="pgtasker-") as folder:
        # PostgreSQL runs as another user, if this one is root.
        os.chmod(folder, 0o755)
        log = Path(folder, "server.log")
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [TASKER, "--json", "up", "--no-worker", "--http", "off"],
                cwd=folder,
                env={k: v for k, v in os.environ.items() if not k.endswith("DATABASE_URL")},
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        try:
            yield _greeting(process, log)["url"]
        finally:
            process.terminate()
            process.wait(60)


def _greeting(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    assert process.stdout is not None
    text = b""
    for line in process.stdout:
        text += line
        try:
            greeting: dict[str, Any] = json.loads(text)
            return greeting
        except ValueError:
            continue
    raise AssertionError(f"tasker up has ended: {log.read_text()}")


class Place:
    """A namespace of one test."""

    def __init__(self, url: str) -> None:
        import psycopg

        self.url = url
        self.namespace = f"py_{uuid.uuid4().hex[:12]}"
        self.db = psycopg.connect(url, autocommit=True)

    def apply(self, steps: list[dict[str, Any]], name: str = "flow", **more: Any) -> None:
        """Applies a template of these steps; each is tried once, unless it says otherwise."""
        retry = {"max_attempts": 1, "backoff": "fixed", "backoff_base_ms": 10, "jitter": False}
        definition = {
            "namespace": self.namespace,
            "name": name,
            "version": "1.0.0",
            "steps": [
                {**step, "retry": {**retry, **step.get("retry", {})}}
                for step in steps
            ],
            **more,
        }
        self.db.execute(
            "select * from tasker.apply_template(%s::jsonb)", [json.dumps(definition)]
        )

    def flow(self, *handlers: str, **more: Any) -> None:
        """Applies a template of one chain of steps, each of the handler of its name."""
        steps = [
            {"name": name, "handler": {"callable": name}, "dependencies": list(before), **more}
            for name, before in zip(handlers, [(), *((one,) for one in handlers)])
        ]
        self.apply(steps)

    def enqueue(self, context: Any = None, name: str = "flow") -> uuid.UUID:
        """Starts a task."""
        return client.enqueue_task(self.db, self.namespace, name, context)

    def settled(self, task: uuid.UUID, patience: float = PATIENCE) -> dict[str, Any]:
        """The status of a task that has ended, or that waits for an operator."""

        def look() -> Any:
            status = client.task_status(self.db, task)
            return status if status["state"] in SETTLED else None

        status: dict[str, Any] = until(look, patience)
        return status

    def result(self, task: uuid.UUID) -> Any:
        """The results of the leaf steps of a task that completes."""
        status = self.settled(task)
        assert status["state"] == "complete", self.steps(task)
        return client.task_result(self.db, task)

    def failure(self, task: uuid.UUID, step: str) -> dict[str, Any]:
        """The error of a step of a task that does not complete."""
        status = self.settled(task)
        assert status["state"] != "complete", status
        error: dict[str, Any] = self.steps(task)[step]["error"]
        return error

    def steps(self, task: uuid.UUID) -> dict[str, dict[str, Any]]:
        """State, attempt, and error of each step."""
        rows = self.db.execute(
            "select name, state::text, attempt, claim_no, error from tasker.steps "
            "where task_id = %s",
            [task],
        )
        return {
            row[0]: {"state": row[1], "attempt": row[2], "claim_no": row[3], "error": row[4]}
            for row in rows
        }

    def worker(self, **options: Any) -> Worker:
        """One of this namespace."""
        return Worker(self.namespace, database_url=self.url, **{"poll_interval": 0.2, **options})


@pytest.fixture()
def place(database_url: str) -> Iterator[Place]:
    """A namespace of its own."""
    place = Place(database_url)
    yield place
    place.db.close()


@contextmanager
def running(program: Any) -> Iterator[Any]:
    """A worker or consumer that runs within the block."""
    program.start()
    try:
        yield program
    finally:
        assert program.stop(PATIENCE)
