"""The results of a step's parents in pages, for those that are too large for a claim."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .capabilities import refuse_in_loop
from .convert import convert
from .json_text import write

if TYPE_CHECKING:
    from .context import StepContext

T = TypeVar("T")


class ParentPages(Generic[T]):
    """Pages of pairs of name and result: by ``for``, in an ``async def`` handler by
    ``async for``."""

    def __init__(self, step: StepContext, type: Any) -> None:
        self._step, self._type = step, type
        self._after: str | None = None

    def _arguments(self) -> str:
        return write({"after": self._after}, "page")

    def _page(self, page: Any) -> list[tuple[str, T]] | None:
        if not page:
            return None
        self._after = page[-1][0]
        return [(name, self._result(name, result)) for name, result in page]

    def _result(self, name: str, result: Any) -> Any:
        return result if self._type is None else convert(result, self._type, f"parents.{name}")

    def __iter__(self) -> Iterator[list[tuple[str, T]]]:
        refuse_in_loop("async for")
        while (page := self._page(self._step._ask("parent_page", self._arguments()))) is not None:
            yield page

    async def __aiter__(self) -> AsyncIterator[list[tuple[str, T]]]:
        asked = self._step._ask_later
        while (page := self._page(await asked("parent_page", self._arguments()))) is not None:
            yield page
