"""A worker: handlers by name, and how they are run."""

from __future__ import annotations

import builtins
import inspect
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import capabilities
from .call import Call, Code, NotHere, not_published, publication, step_call
from .context import StepContext
from .errors import WorkerError
from .events import DomainEvent, EventSubscription, Publication
from .program import Program, load, milliseconds, options

if TYPE_CHECKING:
    from ._native import Native

F = TypeVar("F", bound=Callable[..., Any])
_Resolver = Callable[[str], Any]
_NAMESPACE = "TASKER_WORKER_NAMESPACE"


class Worker(Program):
    """Runs the steps of its namespaces whose handlers it has.

    :param namespaces: those that it serves
    :param database_url: takes precedence over ``DATABASE_URL``
    :param concurrency: steps at once; 64
    :param lease: seconds after which the steps of a worker that is gone pass to others
    :param grace: seconds that running steps have after a shutdown
    :param poll_only: never ``LISTEN``, for poolers
    :param poll_interval: seconds
    :param log: which of the worker's own lines arrive in ``logging.getLogger("pgtasker")``, in the
        form of ``RUST_LOG``
    :param state: what handlers find as ``ctx.state``

    The variables of ``tasker worker``, such as ``TASKER_WORKER_CONCURRENCY``, take precedence over
    all of these but ``database_url``.
    """

    def __init__(
        self,
        *namespaces: str,
        database_url: str | None = None,
        concurrency: int | None = None,
        lease: float | None = None,
        grace: float | None = None,
        poll_only: bool | None = None,
        poll_interval: float | None = None,
        log: str | None = None,
        state: Any = None,
    ) -> None:
        super().__init__()
        for one in namespaces:
            if not isinstance(one, str):
                text = 'namespaces are texts, one after the other: Worker("orders", "billing")'
                raise TypeError(f"{text}, not {type(one).__name__}")
        self.state = state
        self._options: dict[str, Any] = {
            "database_url": database_url,
            "namespaces": list(namespaces),
            "concurrency": concurrency,
            "lease_ms": milliseconds(lease),
            "grace_ms": milliseconds(grace),
            "poll_only": poll_only,
            "poll_interval_ms": milliseconds(poll_interval),
            "log": log,
        }
        self._handlers: dict[str, Code] = {}
        self._paged: set[str] = set()
        self._resolvers: list[_Resolver] = []
        self._resolved: dict[str, Code] = {}
        self._publishers: dict[str, Code] = {}
        self._subscriptions: list[EventSubscription] = []

    @overload
    def handler(self, name: str, *, paged: bool = False) -> Callable[[F], F]: ...
    @overload
    def handler(self, name: str, function: F, *, paged: bool = False) -> F: ...
    def handler(self, name: str, function: Any = None, *, paged: bool = False) -> Any:
        """Registers a handler: a function, or a class with a method ``call``, of which each step
        gets an object of its own. A plain function runs in a thread, an ``async def`` on the loop.

        :param paged: it reads the results of its parents by ``ctx.parent_pages``
        :raises ValueError: the name is taken
        """

        _named(name, "handler", "greet")

        def register(function: F) -> F:
            self._add(name, Code.of(function))
            if paged:
                self._paged.add(name)
            return function

        return register if function is None else register(function)

    @overload
    def callable(self, name: str) -> Callable[[F], F]: ...
    @overload
    def callable(self, name: str, given: Any) -> Any: ...
    def callable(self, name: str, given: Any = None) -> Any:
        """Registers the public methods of a class or an object, for templates that name a callable
        and a method: ``payments.refund``.

        :raises ValueError: a name is taken, or there are no methods
        """

        _named(name, "callable", "payments")

        def register(given: Any) -> Any:
            methods = _methods(given)
            if not methods:
                raise ValueError(f"callable {name!r} has no public methods")
            for method in methods:
                self._add(f"{name}.{method}", Code.of(given, method))
            return given

        return register if given is None else register(given)

    def resolver(self, function: _Resolver) -> _Resolver:
        """Looks up handlers that are not registered, by their names: returns one, or None. The
        worker then takes every step of its namespaces, and gives back those it has none for."""
        self._closed()
        self._resolvers.append(function)
        return function

    @overload
    def publisher(self, pattern: str) -> Callable[[F], F]: ...
    @overload
    def publisher(self, pattern: str, function: F) -> F: ...
    def publisher(self, pattern: str, function: Any = None) -> Any:
        """Registers who has the last word on events of a pattern, such as ``payment.*``: called
        with the :class:`Publication` and the step, it returns the event, or None to keep it back.

        :raises ValueError: the pattern is taken
        """

        _named(pattern, "publisher", "payment.*")

        def register(function: F) -> F:
            self._closed()
            if pattern in self._publishers:
                raise ValueError(f"there is a publisher of {pattern!r} already")
            self._publishers[pattern] = Code.of(function)
            return function

        return register if function is None else register(function)

    def subscribe(self, pattern: str) -> EventSubscription:
        """The fast and broadcast events of a pattern that steps of this worker announce."""
        self._closed()
        subscription = EventSubscription(pattern)
        self._subscriptions.append(subscription)
        return subscription

    def _add(self, name: str, code: Code) -> None:
        self._closed()
        if name in self._handlers:
            raise ValueError(f"there is a handler {name!r} already")
        self._handlers[name] = code

    def _closed(self) -> None:
        if self.is_running:
            raise RuntimeError("the worker runs: register everything before it starts")

    def _launch(self) -> Native:
        if not self._options["namespaces"] and not os.environ.get(_NAMESPACE):
            text = "a worker serves at least one namespace"
            raise WorkerError(f'{text}: give it, as in Worker("orders"), or set {_NAMESPACE}')
        for subscription in self._subscriptions:
            subscription._open()
        return load().start(
            options(
                {
                    **self._options,
                    "handlers": [name for name in self._handlers if name not in self._paged],
                    "paged_handlers": sorted(self._paged),
                    "resolver": bool(self._resolvers),
                    "publishers": list(self._publishers),
                    "subscriptions": sorted({one.pattern for one in self._subscriptions}),
                }
            )
        )

    def _at_end(self) -> None:
        for subscription in self._subscriptions:
            subscription._end()

    def _receive(self, item: dict[str, Any]) -> Call | None:
        kind = item["type"]
        if kind == "step":
            return self._step(item)
        if kind == "publication":
            return self._publication(item)
        if kind == "event":
            event = DomainEvent.from_json(item["event"])
            for subscription in self._subscriptions:
                if subscription.pattern == item["pattern"]:
                    subscription._put(event)
        return None

    def _step(self, item: dict[str, Any]) -> Call:
        name = item["handler"]
        code = self._handlers.get(name) or self._resolved.get(name) or Code(self._resolve, False)
        return step_call(item["id"], code, StepContext(item, self.state, self._runtime))

    def _resolve(self, step: StepContext) -> Any:
        """Stands for a handler that is not known: a resolver may take long to find it, which must
        not keep the poller."""
        for resolver in self._resolvers:
            found = resolver(step.handler)
            if found is not None:
                code = self._resolved[step.handler] = Code.of(found)
                return code.function(step)
        raise NotHere(step.handler)

    def _publication(self, item: dict[str, Any]) -> Call:
        event = Publication(item["name"], item["payload"], item["metadata"])
        step = StepContext(item["step"], self.state)
        code = self._publishers[item["pattern"]]
        return Call(item["id"], code, (event, step), step, publication, not_published, True)


def _named(name: Any, what: str, example: str) -> None:
    # Without brackets the decorator gets the function as its name, and would register nothing.
    if not isinstance(name, str):
        text = f'a {what} is registered by its name: @worker.{what}("{example}")'
        raise TypeError(f"{text}, not {type(name).__name__}")


def _methods(given: Any) -> list[str]:
    """Public ones, without those that the capabilities bring."""
    kind = given if inspect.isclass(given) else type(given)
    own = [base for base in kind.__mro__ if base.__module__ != capabilities.__name__]
    names = [name for base in reversed(own) if base is not object for name in vars(base)]
    public = [name for name in dict.fromkeys(names) if not name.startswith("_")]
    return [name for name in public if builtins.callable(getattr(kind, name, None))]
