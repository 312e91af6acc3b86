"""What steps can do: call services, decide, and cut and run batches.

Each is a mixin for handlers that are classes, and a :class:`~pgtasker.StepContext` has all of
them. A mixin's methods are about the step that runs, so a class needs no context of its own.
"""

from __future__ import annotations

import asyncio
import base64
import re
import warnings
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, overload

from .convert import convert
from .errors import Permanent
from .json_text import read, write

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .context import StepContext

T = TypeVar("T")
_MAX_CURSORS = 1_000_000
"""The most that ``max_instances`` in ``tasker.settings`` can be."""


class StepOutcome:
    """What a handler returns that says more than a result."""

    # No dataclass: within a result it must not be written as one.
    __slots__ = ("_fields", "kind")

    def __init__(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.kind = kind
        """``success``, ``decision``, ``batches``, or ``checkpoint``."""
        self._fields = fields

    def __repr__(self) -> str:
        # Never its data.
        return f"<StepOutcome {self.kind}>"

    @staticmethod
    def success(result: Any = None) -> StepOutcome:
        """The step is done."""
        return StepOutcome("success", {"result": result})

    def with_result(self, result: Any) -> StepOutcome:
        """The same with this result, which the step's children see; a checkpoint has none."""
        if self.kind == "checkpoint":
            return self
        return StepOutcome(self.kind, {**self._fields, "result": result})

    def for_worker(self, step: str) -> StepOutcome:
        """Names the batch worker that the cursors are for, where the step has several."""
        if self.kind != "batches":
            return self
        return StepOutcome(self.kind, {**self._fields, "worker_step": step})

    def text(self) -> str:
        """As JSON.

        :raises InvalidValue: a part has no form in JSON
        """
        parts = []
        for name, value in self._fields.items():
            if name == "cursors":
                texts = (write(one, f"cursors/{n}") for n, one in enumerate(value))
                parts.append(f'"{name}":[{",".join(texts)}]')
            else:
                parts.append(f'"{name}":{write(value, name)}')
        return f'{{"type":"{self.kind}",{",".join(parts)}}}'


class _OfStep:
    def _step(self) -> StepContext:
        from .context import current

        step = current()
        if step is None:
            raise RuntimeError("no step runs here: call this from within a handler")
        return step


class Response:
    """The answer of a service. Within an event loop it is asked for by ``await``."""

    _is_sent = True

    def __init__(self, step: StepContext, arguments: str, name: str) -> None:
        self._step, self._arguments, self._name = step, arguments, name
        self._value: dict[str, Any] | None = None

    def __await__(self) -> Generator[Any, None, Response]:
        self._is_sent = True
        if self._value is None:
            self._value = yield from self._step._ask_later("http", self._arguments).__await__()
        return self

    def _answer(self) -> dict[str, Any]:
        if self._value is None:
            raise RuntimeError("the request has not been sent: await it")
        return self._value

    @property
    def status(self) -> int:
        """200 and the like."""
        return int(self._answer()["status"])

    @property
    def headers(self) -> dict[str, str]:
        """By their names in lower case; several of one name are joined by a comma."""
        headers: dict[str, str] = {}
        for name, value in self._answer()["headers"]:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers

    def header(self, name: str) -> str | None:
        """A header, whatever the case of its name."""
        return self.headers.get(name.lower())

    @property
    def content(self) -> bytes:
        """The whole body."""
        return base64.b64decode(self._answer()["body"])

    @property
    def text(self) -> str:
        """The body as text; what is not UTF-8 is replaced."""
        return self.content.decode("utf-8", "replace")

    @overload
    def json(self) -> Any: ...
    @overload
    def json(self, type: type[T]) -> T: ...
    def json(self, type: Any = None) -> Any:
        """The body as JSON.

        :raises Permanent: ``invalid_response``: the body is no JSON, or does not fit the type
        """
        try:
            value = read(self.content.decode("utf-8-sig"))
            return value if type is None else convert(value, type, "body")
        except (ValueError, RecursionError, Permanent) as error:
            place = "" if isinstance(error, Permanent) else "body: "
            text = f"{self._name}: {place}{error}"
            raise Permanent(text, code="invalid_response") from None

    def __del__(self) -> None:
        # As Python says it of a coroutine: the step would succeed without its call.
        if not self._is_sent:
            text = f"the request {self._name} was never sent: await it"
            warnings.warn(text, RuntimeWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        return f"<Response to {self._name}>"


class RequestOptions(TypedDict, total=False):
    """See :meth:`Api.request`."""

    json: Any
    body: bytes | None
    headers: Mapping[str, str] | None
    timeout: float | None
    idempotency_suffix: str | None
    allow_status: Iterable[int]
    max_bytes: int | None


class Api(_OfStep):
    """Calls over HTTP that know of their step.

    Every request carries ``Idempotency-Key`` (the same on every attempt), ``Tasker-Attempt``, and
    ``traceparent``. A 5xx, 408, 425, or 429, a timeout, and a lost connection raise
    :class:`Retryable`, any other 4xx and redirects :class:`Permanent`. In an ``async def`` handler
    each call is awaited.
    """

    def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        idempotency_suffix: str | None = None,
        allow_status: Iterable[int] = (),
        max_bytes: int | None = None,
    ) -> Response:
        """A request by this method to this URL.

        :param timeout: seconds
        :param idempotency_suffix: of each of several calls of one step, which a receiver would
            take for one
        :param allow_status: statuses that are no failures
        :param max_bytes: the most that is read of a body; 1 MiB
        """
        asked: dict[str, Any] = {"method": method, "url": url, "headers": dict(headers or {})}
        if body is not None:
            asked["body"] = base64.b64encode(body).decode("ascii")
        if timeout is not None:
            asked["timeout_ms"] = max(0, round(timeout * 1_000))
        if idempotency_suffix is not None:
            asked["idempotency_suffix"] = idempotency_suffix
        asked["allow_status"] = list(allow_status)
        if max_bytes is not None:
            asked["max_bytes"] = max_bytes
        arguments = write(asked, "request")
        if json is not None:
            arguments = f'{arguments[:-1]},"json":{write(json, "request")}}}'
        step = self._step()
        response = Response(step, arguments, f"{method} {shown(url)}")
        if within_loop():
            response._is_sent = False
        else:
            response._value = step._ask("http", arguments)
        return response

    def get(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """A GET, with the options of :meth:`request`."""
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """A POST, with the options of :meth:`request`."""
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """A PUT, with the options of :meth:`request`."""
        return self.request("PUT", url, **options)

    def delete(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """A DELETE, with the options of :meth:`request`."""
        return self.request("DELETE", url, **options)


class Decision(_OfStep):
    """For the handler of a step of type ``decision``."""

    def choose(self, *steps: str) -> StepOutcome:
        """Ends the step: of its direct children these come into being, the others never exist."""
        for one in steps:
            if not isinstance(one, str):
                text = 'the steps are named one by one, as in choose("a", "b")'
                raise TypeError(f"{text}, not by {type(one).__name__}")
        return StepOutcome("decision", {"create_steps": list(steps), "result": None})

    def choose_none(self) -> StepOutcome:
        """Ends the step: none of its children comes into being."""
        return self.choose()


@dataclass(frozen=True)
class Cursor:
    """The items from ``start`` up to, and without, ``end``."""

    start: int
    end: int

    @property
    def range(self) -> range:
        """To go through them."""
        return range(self.start, self.end)

    def __len__(self) -> int:
        return max(0, self.end - self.start)

    def __iter__(self) -> Iterator[int]:
        return iter(self.range)


@dataclass(frozen=True)
class Checkpoint:
    """What a step saved before it yielded."""

    cursor: Any = field(repr=False)
    """Where to go on."""
    items_processed: int
    """Items done since the step's first claim."""
    accumulated: Any = field(repr=False)
    """What has come of them."""


@dataclass(frozen=True)
class Instance(Generic[T]):
    """One instance of a batch worker."""

    number: int
    """From 1."""
    step: str
    """Its name, such as ``load_007``."""
    state: str
    """``complete``, or how else it ended."""
    inputs: Any = field(repr=False)
    """Its cursor."""
    result: T | None = field(repr=False)
    """None: it is not complete."""
    error: Any = field(repr=False)
    """Why it failed."""


class BatchPages(Generic[T]):
    """Pages of instances: by ``for``, in an ``async def`` handler by ``async for``."""

    def __init__(self, step: StepContext, name: str, type: Any, after: int, size: int) -> None:
        self._step, self._name, self._type = step, name, type
        self._after, self._size = after, size

    def _arguments(self) -> str:
        asked = {"step": self._name, "after": self._after, "size": self._size}
        return write(asked, "page")

    def _page(self, page: Any) -> list[Instance[T]] | None:
        if not page:
            return None
        self._after = page[-1]["number"]
        return [self._instance(one) for one in page]

    def _instance(self, one: dict[str, Any]) -> Instance[T]:
        if self._type is not None and one["result"] is not None:
            one["result"] = convert(one["result"], self._type, f"{one['step']}.result")
        return Instance(**one)

    def __iter__(self) -> Iterator[list[Instance[T]]]:
        refuse_in_loop("async for")
        while (page := self._page(self._step._ask("batch_page", self._arguments()))) is not None:
            yield page

    async def __aiter__(self) -> AsyncIterator[list[Instance[T]]]:
        asked = self._step._ask_later
        while (page := self._page(await asked("batch_page", self._arguments()))) is not None:
            yield page


class Batch:
    """What the instances of a batch worker, a parent of this step, brought."""

    def __init__(self, step: StepContext, name: str, summary: Any) -> None:
        self._step, self._name = step, name
        if not isinstance(summary, dict) or "instances" not in summary:
            raise Permanent(f"parents.{name}: it is no batch worker", code="invalid_input")
        self.instances: int = summary["instances"]
        """How many there were."""
        self.complete: int = summary["complete"]
        """How many of them are complete."""
        self.failed: int = summary["failed"]
        """How many failed for good."""
        self._results = summary.get("results")

    @overload
    def results(self) -> list[Any] | None: ...
    @overload
    def results(self, type: type[T]) -> list[T] | None: ...
    def results(self, type: Any = None) -> list[Any] | None:
        """The results of those that are complete, in order; None: they are too many or too large,
        and :meth:`pages` reads them.

        :raises Permanent: ``invalid_input``: a result does not fit the type
        """
        if type is None or self._results is None:
            return self._results
        converted: list[Any] = convert(
            self._results, list[type], f"parents.{self._name}.results"
        )
        return converted

    @overload
    def pages(self, *, after: int = 0, page_size: int = 1_000) -> BatchPages[Any]: ...
    @overload
    def pages(self, type: type[T], *, after: int = 0, page_size: int = 1_000) -> BatchPages[T]: ...
    def pages(self, type: Any = None, *, after: int = 0, page_size: int = 1_000) -> BatchPages[Any]:
        """All instances in order, in pages, whether the claim carried their results or not.

        :param after: begins behind the instance with this number
        :param page_size: instances in a page, up to 100,000; pages of large results have fewer
        """
        return BatchPages(self._step, self._name, type, after, page_size)


class Batchable(_OfStep):
    """For the steps of batches; checkpoints are for any step."""

    def split(self, items: range, parts: int) -> list[Cursor]:
        """The range in parts, in order, whose lengths differ by one at most. None is empty."""
        first, parts = _start(items), min(max(parts, 1), len(items))
        # The first ones have one more, until none is left over.
        length, more = divmod(len(items), parts) if parts else (0, 0)
        starts = [first + n * length + min(n, more) for n in range(parts + 1)]
        return [Cursor(start, end) for start, end in zip(starts, starts[1:])]

    def split_by(self, items: range, size: int) -> list[Cursor]:
        """The range in parts of this size, in order; the last may have fewer."""
        first, last, size = _start(items), _start(items) + len(items), max(size, 1)
        return [Cursor(start, min(start + size, last)) for start in range(first, last, size)]

    def batches(self, cursors: Iterable[Any]) -> StepOutcome:
        """Ends a batchable step: one instance of its batch worker for each cursor, which is a
        :class:`Cursor` or any JSON."""
        items: list[Any] = []
        for cursor in cursors:
            if len(items) == _MAX_CURSORS:
                text = "more than 1,000,000 cursors: no batch may have that many instances"
                raise Permanent(f"{text}: let each cover more", code="invalid_outcome")
            items.append(cursor)
        return StepOutcome("batches", {"cursors": items, "result": None})

    @overload
    def cursor(self) -> Any: ...
    @overload
    def cursor(self, type: type[T]) -> T: ...
    def cursor(self, type: Any = None) -> Any:
        """The cursor of this instance.

        :raises Permanent: ``invalid_input``: the step is no instance, or it does not fit the type
        """
        step = self._step()
        if not step.is_batch_instance:
            text = f"step {step.step} is no instance of a batch: it has no cursor"
            raise Permanent(text, code="invalid_input")
        return step.inputs() if type is None else step.inputs(type)

    @property
    def last_checkpoint(self) -> Checkpoint | None:
        """What this step saved last, on whatever worker; None: it begins."""
        saved = self._step()._checkpoint()
        return None if saved is None else Checkpoint(**saved)

    def checkpoint(self, cursor: Any, items_processed: int, accumulated: Any = None) -> StepOutcome:
        """Saves where to go on, how many items have been done since the step's first claim, and
        what has come of them. The step goes back to its queue."""
        fields = {"cursor": cursor, "items_processed": items_processed, "accumulated": accumulated}
        return StepOutcome("checkpoint", fields)

    def batch(self, name: str) -> Batch:
        """What the instances of this batch worker, a parent of the step, brought.

        :raises Permanent: ``invalid_input``: there is no such parent, or it is no batch worker
        """
        step = self._step()
        return Batch(step, name, step.parent(name))


def shown(url: str) -> str:
    """A URL for messages, without what may hold a secret: user, query, and fragment."""
    place = re.split(r"[?#]", url, maxsplit=1)[0]
    return re.sub(r"^(\w[\w+.-]*:)?//[^/]*@", r"\1//", place)


def _start(items: range) -> int:
    if items.step != 1:
        raise ValueError("only a range with steps of 1 can be split")
    return items.start


def within_loop() -> bool:
    """Whether an event loop runs in this thread, which a call must not block."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def refuse_in_loop(instead: str) -> None:
    """Raises within an event loop."""
    if within_loop():
        raise RuntimeError(f"this would block the event loop: use `{instead}`")


__all__ = [
    "Api", "Batch", "BatchPages", "Batchable", "Checkpoint", "Cursor", "Decision", "Instance",
    "Response", "StepOutcome",
]  # fmt: skip
