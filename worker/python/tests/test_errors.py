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


class OfServer(Exception):
    """As psycopg's."""

    sqlstate = "23505"

    class diag:
        message_primary = "duplicate key"


SECRET = "duplicate key\nDETAIL:  Key (card)=(4111) already exists."


def test_errors_of_the_database_show_no_data() -> None:
    class OfSqlAlchemy(Exception):
        statement, params, orig = "insert", {"card": 4111}, OfServer(SECRET)

    class OfAsyncpg(Exception):
        sqlstate = "23505"

    class OfDjango(Exception):
        pass

    of_django = OfDjango(SECRET)
    of_django.__cause__ = OfServer(SECRET)
    wrapped = OfSqlAlchemy(f"{SECRET} [SQL: insert] [parameters: 4111]")
    wrapped.__cause__ = wrapped.orig
    for error in (OfServer(SECRET), wrapped, OfAsyncpg(SECRET), of_django):
        message = failure_of(error)["message"]
        assert message.startswith(f"{type(error).__name__}: duplicate key"), message
        assert "4111" not in message and "DETAIL" not in message
    mine = ValueError("mine\nof two lines")
    mine.__cause__ = OfServer(SECRET)
    said = "ValueError: mine\nof two lines; caused by OfServer: duplicate key"
    assert failure_of(mine)["message"] == said


def test_errors_of_sqlalchemy_show_no_parameters() -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        with pytest.raises(sqlalchemy.exc.OperationalError) as raised:
            connection.execute(sqlalchemy.text("select :card from no_table"), {"card": 4111})
    message = failure_of(raised.value)["message"]
    assert message.startswith("OperationalError: no such table: no_table")
    assert "4111" not in message and "select" not in message


class Group(Exception):
    """As ExceptionGroup, which Python 3.10 does not have."""

    def __init__(self, message: str, exceptions: list[Exception]) -> None:
        super().__init__(f"{message} ({len(exceptions)} sub-exceptions)")
        self.exceptions = tuple(exceptions)


def test_a_permanent_one_in_a_group_decides() -> None:
    broke = Permanent("no money", code="broke")
    group = Group("unhandled", [ValueError("v"), Group("inner", [Retryable("busy"), broke])])
    assert failure_of(group) == failure_of(broke)
    busy = Retryable("busy", code="b", retry_after=1)
    assert failure_of(Group("one", [Group("inner", [busy])])) == failure_of(busy)


def test_a_group_names_what_it_holds_and_where() -> None:
    def lookup() -> None:
        raise KeyError("sku")

    with pytest.raises(KeyError) as raised:
        lookup()
    message = failure_of(Group("unhandled", [raised.value, ValueError("v")]))["message"]
    line = lookup.__code__.co_firstlineno + 1
    assert message == (
        f"Group: unhandled (2 sub-exceptions): KeyError: 'sku' (test_errors.py:{line} in lookup); "
        "ValueError: v"
    )


def test_the_place_is_not_in_what_cython_has_compiled() -> None:
    code = compile("def wait_c():\n    raise ValueError('x')", "psycopg_binary/waiting.pyx", "exec")
    scope: dict[str, object] = {}
    exec(code, scope)
    with pytest.raises(ValueError) as raised:
        scope["wait_c"]()  # type: ignore[operator]
    place = "test_the_place_is_not_in_what_cython_has_compiled)"
    assert failure_of(raised.value)["message"].endswith(place)
