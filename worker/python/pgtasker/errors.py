"""What a handler raises, and what an exception of any other kind becomes."""

from __future__ import annotations

import os
import sysconfig
import traceback
from datetime import timedelta
from typing import Any

_LONGEST = 10_000
"""Characters of a message: as many as the database keeps."""
_MAX_CAUSES = 10
_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class StepError(Exception):
    """A failure of a step that says whether trying again makes sense: :class:`Retryable` or
    :class:`Permanent`."""

    retryable = True
    # Of the class, as a subclass may not call this one's constructor.
    code: str | None = None
    retry_after_ms: int | None = None

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Retryable(StepError):
    """A failure that may pass: the step is tried again while it has attempts left.

    :param code: a short stable word for programs, such as ``busy``
    :param retry_after: seconds until the next attempt, instead of the template's backoff
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retry_after: float | timedelta | None = None,
    ) -> None:
        super().__init__(message, code=code)
        if isinstance(retry_after, timedelta):
            retry_after = retry_after.total_seconds()
        if retry_after is not None:
            self.retry_after_ms = max(0, round(retry_after * 1_000))


class Permanent(StepError):
    """A failure that stays: the step goes to ``error`` at once, whatever its attempts.

    :param code: a short stable word for programs, such as ``card_refused``
    """

    retryable = False


class WorkerError(RuntimeError):
    """The worker or consumer could not start, or has ended without being asked to."""


def from_failure(failure: dict[str, Any]) -> StepError:
    """The exception for a failure as JSON."""
    message, code = str(failure.get("message", "")), failure.get("code")
    if not failure.get("retryable", True):
        return Permanent(message, code=code)
    error = Retryable(message, code=code)
    error.retry_after_ms = failure.get("retry_after_ms")
    return error


def failure_of(error: BaseException) -> dict[str, Any]:
    """The failure that an exception means, as JSON. Its texts have what JSON can hold."""
    error = _decisive(error)
    if isinstance(error, StepError):
        message, code, delay = _text(error), error.code, error.retry_after_ms
        retryable = error.retryable
    else:
        message, code, delay, retryable = _described(error), _sqlstate(error), None, True
    failure: dict[str, Any] = {
        "type": "failure",
        "message": _clean(message)[:_LONGEST],
        "retryable": retryable,
    }
    if code is not None:
        failure["code"] = _clean(str(code))
    if delay is not None and retryable:
        failure["retry_after_ms"] = delay
    return failure


def _leaves(error: BaseException) -> list[BaseException]:
    """What a group of exceptions holds, at whatever depth; any other is its own only one."""
    inner = getattr(error, "exceptions", None)
    # Python 3.10 has groups from a package only.
    if not isinstance(inner, tuple) or not all(isinstance(one, BaseException) for one in inner):
        return [error]
    return [leaf for one in inner for leaf in _leaves(one)]


def _decisive(error: BaseException) -> BaseException:
    """The one of a group, such as a ``TaskGroup`` raises, that says what becomes of the step: a
    permanent one, as the next attempt would meet it again, or the only one."""
    leaves = _leaves(error)
    permanent = (one for one in leaves if isinstance(one, StepError) and not one.retryable)
    return next(permanent, leaves[0] if len(leaves) == 1 else error)


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"(its message cannot be read: {type(broken).__name__})"


def _of_database(error: BaseException) -> str | None:
    """The primary message of an error of the database, or of one that wraps it: the whole text has
    a detail, the statement, or parameters, which are data. None: it is another kind."""
    own = getattr(error, "orig", None)
    # SQLAlchemy's, which has the statement in its text.
    if not isinstance(own, BaseException) or not (hasattr(error, "statement") or _sqlstate(own)):
        own = error
        # Django's has the text of its cause, and is no more than that.
        cause = error.__cause__
        if cause is not None and _sqlstate(cause) and _text(cause) == _text(error):
            own = cause
    primary = getattr(getattr(own, "diag", None), "message_primary", None)
    if isinstance(primary, str):
        return primary
    if own is error and _sqlstate(error) is None:
        return None
    # Of other drivers, such as asyncpg, it is the first line.
    return _text(own).partition("\n")[0]


def _named(error: BaseException) -> str:
    name, text = type(error).__name__, _of_database(error)
    if text is None:
        text = _text(error)
    return f"{name}: {text}" if text else name


def _described(error: BaseException) -> str:
    """Class and message, those of its causes, and where in the user's code it came from."""
    described, next_one = _named(error), _cause(error)
    for _ in range(_MAX_CAUSES):
        if next_one is None:
            break
        described += f"; caused by {_named(next_one)}"
        next_one = _cause(next_one)
    leaves = _leaves(error)
    if leaves != [error]:
        some = [_named(one) + _place(one) for one in leaves[:_MAX_CAUSES]]
        described += f": {'; '.join(some)}"
    place = _place(error)
    # The place must not be what a long message is cut off.
    return described[: _LONGEST - len(place)] + place


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


def _place(error: BaseException) -> str:
    place = place_of(traceback.extract_tb(error.__traceback__))
    return f" ({place})" if place else ""


def place_of(stack: traceback.StackSummary) -> str:
    """The innermost frame of the user's code: neither ours nor a library's, where there is one."""
    frames = [frame for frame in stack if not frame.filename.startswith(_PACKAGE)]
    own = _of_user(frames) or frames
    if not own:
        return ""
    return f"{os.path.basename(own[-1].filename)}:{own[-1].lineno} in {own[-1].name}"


def is_of_user(error: BaseException) -> bool:
    """Whether it comes by way of the user's code."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(not frame.filename.startswith(_PACKAGE) for frame in _of_user(frames))


def _of_user(frames: list[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    return [frame for frame in frames if not _is_library(frame.filename)]


_LIBRARIES = tuple(
    path + os.sep
    for path in {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    if path
)


def _is_library(filename: str) -> bool:
    return (
        filename.startswith("<frozen")
        # What Cython has compiled names its source, without the folder.
        or filename.endswith((".pyx", ".pxd", ".pxi"))
        or "site-packages" in filename
        or "dist-packages" in filename
        or filename.startswith(_LIBRARIES)
    )


def _sqlstate(error: BaseException) -> str | None:
    """The code of an error of the database, whatever its driver."""
    for one in (error, getattr(error, "orig", None)):
        for name in ("sqlstate", "pgcode"):
            code = getattr(one, name, None)
            if isinstance(code, str) and len(code) == 5:
                return code
    return None
