"""A worker of the fault test in Python, with the handlers of load.rs."""

import logging
import os
import sys
import threading
import time
import zlib

import psycopg
from pgtasker import Permanent, Retryable, StepContext, StepOutcome, Worker, WorkerError

PLANNED = "as it should"
PARTS, PART_CLAIMS = 2, 4
# Not by way of the proxy: when a connection falls silent, this driver waits for ever.
DIRECT = os.environ["FAULTS_DIRECT_URL"]
with open(os.environ["FAULTS_BOOK_SQL"], encoding="utf-8") as file:
    BOOK = file.read()
for number, name in enumerate(["account", "amount", "task"], 1):
    BOOK = BOOK.replace(f"${number}", f"%({name})s")

# What fails as it should says nothing.
logging.getLogger("pgtasker").addHandler(logging.NullHandler())
worker = Worker("faults", "bank", lease=2, log="off")


class Planned(BaseException):
    """What only the worker itself may catch."""


def connect() -> psycopg.Connection:
    return psycopg.connect(DIRECT, application_name="faults python", connect_timeout=5)


def dice(ctx: StepContext) -> int:
    """The same for the same step."""
    return zlib.crc32(f"{ctx.task_id}{ctx.step}".encode())


def mark(ctx: StepContext, at_most_ms: int = 0) -> dict[str, int]:
    at_most_ms = max(at_most_ms, 300) if ctx.claim_no > 1 else at_most_ms
    time.sleep(dice(ctx) % (at_most_ms + 1) / 1_000)
    return {"claim_no": ctx.claim_no}


worker.handler("mark", lambda ctx: mark(ctx))
worker.handler("slow", lambda ctx: mark(ctx, 200))


@worker.handler("flaky")
def flaky(ctx: StepContext) -> dict[str, int]:
    if ctx.attempt > dice(ctx) % 4:
        return mark(ctx, 20)
    raise Planned(PLANNED) if dice(ctx) % 7 == 0 else Retryable(PLANNED)


@worker.handler("fail")
def fail(ctx: StepContext) -> None:
    raise Permanent(PLANNED)


@worker.handler("parts")
def parts(ctx: StepContext) -> StepOutcome | None:
    last = ctx.last_checkpoint
    done = 0 if last is None else last.cursor
    upto = done + PARTS
    for part in range(done + 1, upto + 1):
        ctx.publish("part.done", {"part": part})
    if ctx.attempt == 1 and (dice(ctx) + done) % 5 == 0:
        raise Retryable(PLANNED)
    if upto < PART_CLAIMS * PARTS:
        outcome = ctx.checkpoint(upto, upto)
    else:
        outcome = StepOutcome.success({"claim_no": ctx.claim_no})
    if dice(ctx) % 2 == 1:
        return outcome
    with connect() as connection, ctx.transaction(connection) as tx:
        tx.complete_with(outcome)
    return None


def book(ctx: StepContext, account: int, amount: int) -> None:
    with connect() as connection, ctx.transaction(connection) as tx:
        values = {"account": account, "amount": amount, "task": ctx.task_id}
        row = connection.execute(BOOK, values).fetchone()
        if row is None:
            raise Permanent(f"account {account} is not there, or has too little", code="cannot_book")
        tx.complete({"account": account, "balance": row[0]})


@worker.handler("transfer_withdraw")
def withdraw(ctx: StepContext) -> None:
    transfer = ctx.context()
    book(ctx, transfer["from"], -transfer["amount"])


@worker.handler("transfer_deposit")
def deposit(ctx: StepContext) -> None:
    transfer = ctx.context()
    book(ctx, transfer["to"], transfer["amount"])


def hear(events) -> None:
    for event in events:
        # Fast events are told once or not at all; what is not written down was not heard.
        try:
            with connect() as connection:
                values = (event.id, event.task_id, event.step, event.claim_no)
                connection.execute("insert into faults.heard values (%s, %s, %s, %s)", values)
        except psycopg.Error:
            pass


def tell_id() -> None:
    while worker.id is None:
        time.sleep(0.01)
    print("id", worker.id, flush=True)


for target, args in ((hear, (worker.subscribe("step.ended"),)), (tell_id, ())):
    threading.Thread(target=target, args=args, daemon=True).start()
try:
    worker.run()
except WorkerError as error:
    sys.exit(f"worker: {error}")
