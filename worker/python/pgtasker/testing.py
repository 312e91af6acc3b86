"""Runs one handler without a database and without the native module.

::

    run = testing.run(charge, context={"order_id": 7}, parents={"reserve": {"amount": 5}})
    assert run.result == {"charged": 5}
    assert run.events == [("payment.processed", {"amount": 5})]
"""

from __future__ import annotations

import asyncio
import base64
import contextvars
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from .call import Code, failed, outcome
from .capabilities import shown, within_loop
from .context import StepContext, _current
from .errors import Permanent, Retryable, StepError, failure_of
from .json_text import read, write

_MAY_PASS = (408, 425, 429)


@dataclass(frozen=True)
class HttpRequest:
    """A request that the handler has made."""

    method: str
    url: str
    headers: Mapping[str, str]
    json: Any
    body: bytes | None


Http = Callable[[HttpRequest], Any]
"""Answers requests: with a status, or a pair of a status and a body (JSON or bytes)."""


@dataclass
class Run:
    """What has come of a handler."""

    outcome: dict[str, Any] = field(default_factory=dict)
    """As the worker would submit it: ``{"type": "success", "result": …}`` and the like."""
    events: list[tuple[str, Any]] = field(default_factory=list)
    """Names and payloads of the events that it has published."""
    requests: list[HttpRequest] = field(default_factory=list)
    """The requests that it has made."""
    error: BaseException | None = None
    """What it has raised."""

    @property
    def result(self) -> Any:
        """The result of an outcome that has one.

        :raises AssertionError: it failed
        """
        if self.outcome.get("type") == "failure":
            raise AssertionError(f"the handler failed: {self.outcome}") from self.error
        return self.outcome.get("result")

    @property
    def failure(self) -> dict[str, Any] | None:
        """Message, whether it is retryable, code, and delay; None: it did not fail."""
        return self.outcome if self.outcome.get("type") == "failure" else None


class _Answers:
    """Stands for the worker."""

    def __init__(self, run: Run, item: dict[str, Any], http: Http | None, pages: Any) -> None:
        self.run, self.item, self.http, self.pages = run, item, http, pages
        self.ended: str | None = None

    def ask(self, id: int, what: str, arguments: str) -> str:
        try:
            value = getattr(self, f"_{what}")(read(arguments))
        except StepError as error:
            return write({"error": failure_of(error)}, "answer")
        return f'{{"value":{write(value, "answer")}}}'

    async def ask_later(self, id: int, what: str, arguments: str) -> str:
        return self.ask(id, what, arguments)

    def _publish(self, asked: dict[str, Any]) -> None:
        self.run.events.append((asked["name"], asked["payload"]))

    def _http(self, asked: dict[str, Any]) -> dict[str, Any]:
        body = asked.get("body")
        request = HttpRequest(
            asked["method"],
            asked["url"],
            asked["headers"],
            asked.get("json"),
            None if body is None else base64.b64decode(body),
        )
        self.run.requests.append(request)
        if self.http is None:
            raise Permanent("this run has nobody who answers requests: give it http=…")
        answer = self.http(request)
        status, content = answer if isinstance(answer, tuple) else (answer, b"")
        if not 200 <= status < 300 and status not in asked["allow_status"]:
            kind = Retryable if status >= 500 or status in _MAY_PASS else Permanent
            text = f"{request.method} {shown(request.url)} answered {status}"
            raise kind(text, code=f"http_{status}")
        if not isinstance(content, bytes):
            content = write(content, "response").encode()
        return {"status": status, "headers": [], "body": base64.b64encode(content).decode()}

    def _batch_page(self, asked: dict[str, Any]) -> Any:
        results = list(enumerate(self.pages.get(asked["step"], ()), 1))
        after = asked["after"]
        some = [
            {
                "number": number,
                "step": f"{asked['step']}_{number:03}",
                "state": "complete",
                "inputs": None,
                "result": result,
                "error": None,
            }
            for number, result in results[after : after + asked["size"]]
        ]
        return some or None

    def _parent_page(self, asked: dict[str, Any]) -> Any:
        if asked["after"] is not None:
            return None
        return [[name, result] for name, result in sorted(self.item["parents"].items())]

    def _prepare(self, asked: dict[str, Any]) -> Any:
        self.ended = write(asked["outcome"], "outcome")
        return {"statement": "select 'accepted'", "parameters": []}

    def _commits(self, asked: dict[str, Any]) -> None:
        pass

    def _committed(self, asked: dict[str, Any]) -> None:
        pass


def _begin(
    handler: Any,
    *,
    context: Any = None,
    config: Any = None,
    inputs: Any = None,
    parents: Mapping[str, Any] | None = None,
    checkpoint: Any = None,
    pages: Mapping[str, Sequence[Any]] | None = None,
    http: Http | None = None,
    attempt: int = 1,
    state: Any = None,
    step: str = "step",
    method: str | None = None,
    task_id: UUID | None = None,
    correlation_id: UUID | None = None,
) -> tuple[Code, StepContext, _Answers]:
    pages = {name: read(write(list(results), name)) for name, results in (pages or {}).items()}
    summaries = {
        name: {"instances": len(one), "complete": len(one), "failed": 0, "results": one}
        for name, one in pages.items()
    }
    task_id = task_id or uuid4()
    given = {
        "id": 1,
        "task_id": task_id,
        "step": step,
        "handler": step if method is None else f"{step}.{method}",
        "attempt": attempt,
        "claim_no": attempt,
        "correlation_id": correlation_id,
        "traceparent": None,
        "timeout_ms": 300_000,
        "idempotency_key": f"{task_id}:{step}",
        "is_batch_instance": inputs is not None,
        "is_paged": False,
        "context": {} if context is None else context,
        "config": {} if config is None else config,
        "inputs": inputs,
        "parents": {**summaries, **(parents or {})},
        "checkpoint": checkpoint,
    }
    # As a worker gets it: JSON.
    item = read(write(given, "input"))
    answers = _Answers(Run(), item, http, pages)
    return Code.of(handler, method), StepContext(item, state, answers), answers


def _end(step: StepContext, answers: _Answers, result: Any, error: BaseException | None) -> Run:
    try:
        text = outcome(result, step) if error is None else failed(error, step)
    except StepError as refused:
        text, error = failed(refused, step), refused
    if step._has_committed and answers.ended is not None:
        text = answers.ended
    answers.run.outcome, answers.run.error = read(text), error
    return answers.run


def run(handler: Any, **given: Any) -> Run:
    """Runs a handler: a function, an ``async def``, or a class, and says what has come of it.

    :param context: the task's input
    :param config: the handler's config
    :param inputs: an instance's cursor, or what the template makes
    :param parents: results by name
    :param checkpoint: ``{"cursor", "items_processed", "accumulated"}``
    :param pages: of batch workers among the parents, the results of their instances
    :param http: answers requests, see :data:`Http`
    :param attempt: from 1
    :param state: what is found as ``ctx.state``
    :param step: its name
    :param method: of a callable
    :param task_id: any, unless given
    :param correlation_id: none, unless given
    """
    if within_loop():
        raise RuntimeError("an event loop runs here: use `await testing.arun(…)`")
    code, step, answers = _begin(handler, **given)
    if code.is_async:
        return asyncio.run(_await(code, step, answers))

    def call() -> Any:
        _current.set(step)
        result = code.function(step)
        return asyncio.run(_coroutine(result)) if inspect.iscoroutine(result) else result

    try:
        result, error = contextvars.copy_context().run(call), None
    except BaseException as raised:
        result, error = None, raised
    return _end(step, answers, result, error)


async def arun(handler: Any, **given: Any) -> Run:
    """:func:`run` within an event loop; plain functions run in a thread."""
    code, step, answers = _begin(handler, **given)
    if code.is_async:
        return await asyncio.create_task(_await(code, step, answers))
    return await asyncio.to_thread(run, handler, **given)


async def _await(code: Code, step: StepContext, answers: _Answers) -> Run:
    _current.set(step)
    try:
        result, error = await code.function(step), None
    except BaseException as raised:
        result, error = None, raised
    return _end(step, answers, result, error)


async def _coroutine(result: Any) -> Any:
    return await result
