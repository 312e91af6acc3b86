"""Logs: which step a line is of, and the lines of the worker itself."""

from __future__ import annotations

import logging
from typing import Any

from .context import current

logger = logging.getLogger("pgtasker")
"""Gets the worker's own lines."""

FORMAT = "%(asctime)s %(levelname)s %(name)s [%(task_id)s %(step)s] %(message)s"
"""What ``pgtasker-worker`` writes."""

_LEVELS = {
    "ERROR": logging.ERROR,
    "WARN": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
    "TRACE": logging.DEBUG - 5,
}


class StepFilter(logging.Filter):
    """Adds ``task_id`` and ``step`` of the step that runs to each record, ``-`` outside of one.
    For handlers of ``logging``: ``handler.addFilter(StepFilter())``."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keeps all records."""
        step = current()
        if not hasattr(record, "task_id"):
            record.task_id = "-" if step is None else str(step.task_id)
        if not hasattr(record, "step"):
            record.step = "-" if step is None else step.step
        return True


def configure(level: str = "INFO") -> None:
    """Logs to stderr with task and step, unless the program has set up ``logging`` already;
    existing handlers get the filter."""
    if not logging.getLogger().handlers:
        logging.basicConfig(level=level, format=FORMAT)
    for handler in logging.getLogger().handlers:
        handler.addFilter(StepFilter())


def say(level: int, text: str, *arguments: Any, error: BaseException | None = None) -> None:
    """Logs a line of the library's own. What the program's filters and handlers raise is about
    this line alone: it must end no thread on which all others depend."""
    try:
        logger.log(level, text, *arguments, exc_info=error, stacklevel=2)
    except BaseException:
        # There is nowhere to say so.
        pass


def forward(item: dict[str, Any]) -> None:
    """Hands a line of the worker to :data:`logger`, as :func:`say` does."""
    try:
        _forward(item)
    except BaseException:
        # There is nowhere to say so.
        pass


def _forward(item: dict[str, Any]) -> None:
    level = _LEVELS.get(item.get("level", ""), logging.INFO)
    if not logger.isEnabledFor(level):
        return
    fields: dict[str, Any] = item.get("fields") or {}
    said = "".join(f" {name}={value}" for name, value in fields.items())
    extra: dict[str, Any] = {"target": item.get("target"), "fields": fields}
    for name in ("task_id", "step"):
        if name in fields:
            extra[name] = str(fields[name])
    logger.log(level, "%s%s", item.get("message", ""), said, extra=extra)
