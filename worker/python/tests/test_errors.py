"""What exceptions become."""

from datetime import timedelta

import pytest

from pgtasker import Permanent, Retryable
from pgtasker.errors import failure_of, from_failure


def test_both_errors_carry_code_and_delay() -> None:
    busy = failure_of(Retryable("busy", code="b", retry_after=timedelta(seconds=1.5)))
    assert busy == {
        "type": "failure", "message": "busy", "retryable": True, "code": "b",
        "retry_after_ms": 1_500,
    }  # fmt: skip
    assert failure_of(Permanent("no")) == {"type": "failure", "message": "no", "retryable": False}


def test_what_the_worker_said_comes_back_as_it_was() -> None:
    for failure in (
        {"message": "a", "retryable": True, "code": "busy", "retry_after_ms": 7},
        {"message": "b", "retryable": False, "code": "rejected"},
        {"message": "c", "retryable": True},
    ):
        assert failure_of(from_failure(failure)) == {"type": "failure", **failure}


def test_any_other_is_retryable_with_causes_and_place() -> None:
    def lookup() -> None:
        raise KeyError("sku")

    with pytest.raises(ValueError) as raised:
        try:
            lookup()
        except KeyError as error:
            raise ValueError("no such item") from error
    failure = failure_of(raised.value)
    assert failure["retryable"] and "code" not in failure
    message = failure["message"]
    said = "ValueError: no such item; caused by KeyError: 'sku' (test_errors.py:"
    assert message.startswith(said)
    assert message.endswith(" in test_any_other_is_retryable_with_causes_and_place)")


def test_the_place_is_in_the_users_code() -> None:
    import json

    with pytest.raises(json.JSONDecodeError) as raised:
        json.loads("{")
    assert "(test_errors.py:" in failure_of(raised.value)["message"]


def test_sqlstates_become_codes() -> None:
    class Refused(Exception):
        sqlstate = "23505"

    class Wrapped(Exception):
        orig = Refused()

    assert failure_of(Refused())["code"] == failure_of(Wrapped())["code"] == "23505"


def test_strange_exceptions_are_failures_too() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert failure_of(Broken())["message"].startswith("Broken: (its message cannot be read")
    assert failure_of(OSError("\udcff"))["message"].startswith("OSError: ?")
    assert failure_of(SystemExit(3))["message"] == "SystemExit: 3"
    assert len(failure_of(ValueError("x" * 20_000))["message"]) == 10_000
