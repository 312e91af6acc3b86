"""Registration, names, and the command line, without a worker that runs."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pgtasker
from pgtasker import Api, EventConsumer, StepContext, StepFilter, Worker, WorkerError, cli, testing


def test_each_name_is_registered_once() -> None:
    worker = Worker("orders")

    @worker.handler("a")
    def a(ctx: StepContext) -> None: ...

    with pytest.raises(ValueError, match="a handler 'a' already"):
        worker.handler("a", a)
    worker.publisher("p.*", lambda event, ctx: event)
    with pytest.raises(ValueError):
        worker.publisher("p.*", lambda event, ctx: event)
    with pytest.raises(TypeError):
        worker.handler("b", 7)  # type: ignore[call-overload]
    consumer = EventConsumer("orders")
    consumer.handler(print)
    with pytest.raises(ValueError):
        consumer.handler(print)


def test_a_name_that_is_forgotten_is_told_at_once() -> None:
    worker: Any = Worker("orders")
    for register in (worker.handler, worker.callable, worker.publisher):
        with pytest.raises(TypeError, match=rf'its name: @worker\.{register.__name__}\("'):
            register(lambda ctx: None)
    namespaces: Any = ["orders"]
    with pytest.raises(TypeError, match=r'Worker\("orders", "billing"\), not list'):
        Worker(namespaces)
    with pytest.raises(WorkerError, match="TASKER_WORKER_NAMESPACE"):
        Worker().start()


def test_a_callable_gives_its_public_methods_but_not_its_capabilities() -> None:
    worker = Worker("orders")

    class Base:
        def shared(self, ctx: StepContext) -> None: ...

    @worker.callable("payments")
    class Payments(Base, Api):
        def refund(self, ctx: StepContext) -> None: ...
        async def charge(self, ctx: StepContext) -> None: ...
        def _helper(self) -> None: ...

    names = {name: code.is_async for name, code in worker._handlers.items()}
    expected = {"payments.refund": False, "payments.charge": True, "payments.shared": False}
    assert names == expected
    worker.callable("object", Payments())
    with pytest.raises(ValueError, match="no public methods"):
        worker.callable("empty", Api)


# The table "One API, four languages" of the design: what each class offers.
NAMES = {
    Worker: "handler callable resolver publisher subscribe run arun start stop",
    StepContext: "context config inputs parent parents task_id step attempt claim_no "
    "correlation_id choose choose_none batches split split_by cursor last_checkpoint checkpoint "
    "batch get post put delete request transaction publish cancelled traceparent",
    EventConsumer: "handler run arun start stop",
    pgtasker.Batch: "instances complete failed results pages",
    pgtasker.StepTransaction: "complete complete_with",
    pgtasker.StepOutcome: "with_result for_worker",
}


def test_the_names_are_those_of_all_languages() -> None:
    for kind, names in NAMES.items():
        known = set(dir(kind)) | set(getattr(kind, "__annotations__", ()))
        if kind is pgtasker.Batch:
            known |= {"instances", "complete", "failed"}
        assert set(names.split()) <= known, kind
    for name in ("Retryable", "Permanent", "Decision", "Batchable", "Api", "Worker"):
        assert name in pgtasker.__all__
    assert callable(testing.run)
    assert hasattr(Worker(state=7), "state")


def test_everything_public_is_documented() -> None:
    for name in pgtasker.__all__:
        assert getattr(pgtasker, name).__doc__, name


def test_lines_of_a_log_have_task_and_step(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(StepFilter())

    def handler(ctx: StepContext) -> str:
        logging.getLogger("app").warning("inside")
        return str(ctx.task_id)

    task = testing.run(handler, step="charge").result
    logging.getLogger("app").warning("outside")
    records: Any = caplog.records
    assert [(one.task_id, one.step) for one in records] == [(task, "charge"), ("-", "-")]


def test_the_command_says_what_it_cannot_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "some_app.py").write_text("number = 7\n")
    for target, said in [
        ("some_app", "not of the form module:name"),
        ("some_app:nothing", "has no attribute 'nothing'"),
        ("some_app:number", "int is no worker and no consumer"),
        ("no_such_app:worker", "No module named 'no_such_app'"),
    ]:
        assert cli.main([target, "--app-dir", str(tmp_path)]) == 2
        told = capsys.readouterr().err
        assert said in told and "Traceback" not in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f():\n    int('x')\nf()\n", "broken_app.py\", line 2, in f"),
        ("import no_such_module\n", "broken_app.py\", line 1, in <module>"),
        ("x = = 1\n", "broken_app.py\", line 1\n"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_what_a_module_itself_raises_is_placed(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken_app.py").write_text(text)
    assert cli.main(["broken_app:worker", "--app-dir", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


def test_the_command_refuses_numbers_and_levels_that_are_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for option, value, said in [
        ("--processes", "0", "'0' is not a whole number from 1"),
        ("--processes", "two", "'two' is not a whole number from 1"),
        ("--log-level", "loud", "'LOUD'"),
    ]:
        with pytest.raises(SystemExit, match="2"):
            cli.main(["some_app:worker", option, value])
        assert said in capsys.readouterr().err


def test_several_processes_end_with_what_none_of_them_can_load(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pgtasker.cli", "no_such_app:worker", "--processes", "2"]
    folder = str(Path(cli.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": folder}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, timeout=60, capture_output=True)
    assert ended.returncode == 2
    assert b"No module named 'no_such_app'" in ended.stderr


def test_processes_serve_their_metrics_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKER_WORKER_METRICS", "127.0.0.1:9187")
    ports = [cli._environment(n)["TASKER_WORKER_METRICS"] for n in range(2)]
    assert ports == ["127.0.0.1:9187", "127.0.0.1:9188"]
