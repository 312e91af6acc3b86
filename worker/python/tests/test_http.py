"""Calls over HTTP against a server of the test's own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from support import Place, running

from pgtasker import StepContext

Requests = list[dict[str, Any]]


@pytest.fixture()
def service() -> Iterator[tuple[str, Requests]]:
    """Answers ``/STATUS`` with that status, and what it was sent; the first of ``/flaky`` fails."""
    requests: Requests = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            seen = {"path": self.path, "body": body, "headers": dict(self.headers)}
            requests.append(seen)
            is_first = sum(one["path"] == self.path for one in requests) == 1
            status = (503 if is_first else 200) if self.path == "/flaky" else int(self.path[1:])
            answer = json.dumps({"id": len(requests)}).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.send_header("x-test", "1")
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = do_DELETE = do_POST

        def log_message(self, format: str, *values: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", requests
    server.shutdown()


def key(request: dict[str, Any]) -> str:
    """The key by which a receiver knows a request that it gets again."""
    return str({k.lower(): v for k, v in request["headers"].items()}["idempotency-key"])


def test_a_call_and_the_same_call_again(place: Place, service: tuple[str, Requests]) -> None:
    url, requests = service
    worker = place.worker()

    @worker.handler("def")
    def plain(ctx: StepContext) -> Any:
        other = ctx.put(f"{url}/201", body=b"raw", idempotency_suffix="second")
        assert other.status == 201 and other.header("X-Test") == "1"
        response = ctx.post(f"{url}/flaky", json={"n": 2**70}, headers={"x-own": "ü?"[1:]})
        return [response.status, type(response.json()["id"]).__name__, ctx.idempotency_key]

    @worker.handler("async")
    async def awaited(ctx: StepContext) -> Any:
        response = await ctx.get(f"{url}/404", allow_status=[404], timeout=10)
        return [response.status, response.json(dict)["id"] > 0]

    retry = {"max_attempts": 3}
    place.apply(
        [
            {"name": name, "handler": {"callable": name}, "retry": retry}
            for name in ("def", "async")
        ]
    )
    with running(worker):
        task = place.enqueue()
        result = place.result(task)
    assert result == {"def": [200, "int", f"{task}:def"], "async": [404, True]}
    flaky = [one for one in requests if one["path"] == "/flaky"]
    assert [key(one) for one in flaky] == [f"{task}:def"] * 2
    assert json.loads(flaky[0]["body"]) == {"n": 2**70}
    other = next(one for one in requests if one["path"] == "/201")
    assert other["body"] == b"raw" and key(other).startswith(f"{task}:def:")


def test_what_a_status_means(place: Place, service: tuple[str, Requests]) -> None:
    url, requests = service
    worker = place.worker()
    worker.handler("h", lambda ctx: ctx.get(f"{url}/{ctx.context()['status']}").status)
    retry = {"max_attempts": 2}
    place.apply([{"name": "h", "handler": {"callable": "h"}, "retry": retry}])
    with running(worker):
        busy, refused = place.enqueue({"status": 429}), place.enqueue({"status": 422})
        assert place.failure(busy, "h")["code"] == "http_429"
        assert place.failure(refused, "h")["code"] == "http_422"
        assert place.steps(busy)["h"]["attempt"] == 2
        assert place.steps(refused)["h"]["attempt"] == 1


def test_a_lost_connection_is_retryable(place: Place) -> None:
    worker = place.worker()
    worker.handler("h", lambda ctx: ctx.get("http://127.0.0.1:1/").status)
    retry = {"max_attempts": 2}
    place.apply([{"name": "h", "handler": {"callable": "h"}, "retry": retry}])
    with running(worker):
        task = place.enqueue()
        assert place.failure(task, "h")["code"] == "connection"
        assert place.steps(task)["h"]["attempt"] == 2
