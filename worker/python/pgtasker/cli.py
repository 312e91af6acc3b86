"""``pgtasker-worker app:worker``: runs a worker or a consumer, in one process or several."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .errors import WorkerError, is_of_user
from .logging_bridge import configure, logger

_FIRST_DELAY = 1.0
"""Seconds until a process that has died is started again; twice as long each time in a row."""
_LONGEST_DELAY = 60.0
_LIVED = 60.0
"""Seconds after which a process counts as having worked."""
_LOOK = 0.1
_METRICS = "TASKER_WORKER_METRICS"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_UNUSABLE = 2
"""The exit code for a command that says nothing that could run."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pgtasker-worker",
        description="Runs a worker or a consumer of Tasker until SIGTERM or ctrl-c.",
        epilog="The database is DATABASE_URL; other settings are the variables of `tasker worker`. "
        f"With several processes the port of {_METRICS} counts up.",
    )
    parser.add_argument("target", help="module and name, such as app:worker")
    parser.add_argument("--processes", type=_count, default=1, metavar="N", help="default 1")
    parser.add_argument("--app-dir", default=".", metavar="DIR", help="where the module is")
    # Marks one of several processes: its standard input ends with the process that started it.
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    levels = ", ".join(_LEVELS)
    parser.add_argument(
        "--log-level", default="INFO", metavar="LEVEL", type=str.upper, choices=_LEVELS,
        help=f"one of {levels}; default INFO",
    )  # fmt: skip
    return parser


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    given = _parser().parse_args(arguments)
    level = given.log_level
    if given.processes > 1:
        configure(level)
        command = [sys.executable, "-m", "pgtasker.cli", given.target]
        command += ["--child", "--app-dir", given.app_dir, "--log-level", level]
        return Processes(command, given.processes).run()
    if given.child:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        program = load(given.target, given.app_dir)
    except Exception as error:
        # What the module itself raises needs its place.
        if isinstance(error, SyntaxError) or is_of_user(error):
            traceback.print_exception(type(error), error, error.__traceback__)
        print(f"pgtasker-worker: {given.target}: {error}", file=sys.stderr)
        return _UNUSABLE
    # The program may have set it up by itself.
    configure(level)
    try:
        program.run()
    except (WorkerError, ValueError, ImportError) as error:
        print(f"pgtasker-worker: {error}", file=sys.stderr)
        return 1
    return 0


def _end_with_parent() -> None:
    # Not by way of sys.stdin, whose lock would be missing at the interpreter's end.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def load(target: str, folder: str) -> Any:
    """What ``module:name`` stands for."""
    module, _, name = target.partition(":")
    if not module or not name:
        raise ValueError("it is not of the form module:name, such as app:worker")
    sys.path.insert(0, os.path.abspath(folder))
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not callable(getattr(found, "run", None)):
        raise TypeError(f"{type(found).__name__} is no worker and no consumer")
    return found


@dataclass
class _Process:
    number: int
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    starts_at: float = 0.0
    delay: float = _FIRST_DELAY
    starts: int = 0


class Processes:
    """Several processes that each run the whole command. Nothing is forked: the native module's
    threads would be missing. One that dies is started again."""

    def __init__(self, command: list[str], count: int) -> None:
        self._command = command
        self._all = [_Process(number) for number in range(count)]
        self._stop = threading.Event()
        self._signals = 0
        self._is_unusable = False

    def run(self) -> int:
        """Until SIGTERM or ctrl-c, which all processes get; the second one ends them at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        while not self._stop.is_set():
            for one in self._all:
                self._look(one)
            time.sleep(_LOOK)
        codes = [one.process.wait() for one in self._all if one.process is not None]
        if self._is_unusable:
            return _UNUSABLE
        # Some may have had no time for a handler of the signal.
        return 1 if any(code not in (0, -signal.SIGTERM) for code in codes) else 0

    def _signalled(self, number: int, frame: Any) -> None:
        self._signals += 1
        self._end()

    def _end(self) -> None:
        self._stop.set()
        for one in self._all:
            if one.process is not None and one.process.poll() is None:
                one.process.send_signal(signal.SIGTERM if self._signals < 2 else signal.SIGKILL)

    def _look(self, one: _Process) -> None:
        now = time.monotonic()
        if one.process is not None:
            code = one.process.poll()
            if code is None:
                return
            if code == _UNUSABLE and one.starts == 1:
                # It has said why, and would say the same each time.
                self._is_unusable = True
                one.process = None
                return self._end()
            if now - one.started > _LIVED:
                one.delay = _FIRST_DELAY
            one.process, one.starts_at = None, now + one.delay
            logger.error(
                "process %d has ended with %d: started again in %.0f s", one.number, code, one.delay
            )
            one.delay = min(2 * one.delay, _LONGEST_DELAY)
        elif now >= one.starts_at:
            one.started, one.starts = now, one.starts + 1
            # In a group of its own: ctrl-c of a terminal would reach it twice.
            one.process = subprocess.Popen(
                self._command,
                env=_environment(one.number),
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
            # A signal may have come just before.
            if self._stop.is_set():
                one.process.send_signal(signal.SIGTERM)


def _environment(number: int) -> dict[str, str]:
    variables = dict(os.environ)
    address, _, port = variables.get(_METRICS, "").rpartition(":")
    if address and port.isdigit() and port != "0":
        variables[_METRICS] = f"{address}:{int(port) + number}"
    return variables


if __name__ == "__main__":
    sys.exit(main())
