"""A native module that does what a test says."""

from __future__ import annotations

import json
import queue
import threading
import time
from typing import Any

STEP = {
    "type": "step", "id": 1, "task_id": "00000000-0000-0000-0000-000000000001", "step": "s",
    "handler": "h", "attempt": 1, "claim_no": 1, "correlation_id": None, "traceparent": None,
    "timeout_ms": 1000, "idempotency_key": "k", "is_batch_instance": False, "is_paged": False,
    "context": {}, "config": {}, "inputs": None, "parents": {}, "checkpoint": None,
}  # fmt: skip


class FakeNative:
    """Stands for ``pgtasker._native.Native``."""

    def __init__(self) -> None:
        self.items: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.answers: dict[int, Any] = {}
        self.answered = threading.Condition()
        self.early = False
        self._next = 1_000

    def give(self, **fields: Any) -> None:
        """An item of the next poll."""
        text = json.dumps(fields, separators=(",", ":"))
        self.items.put(text)

    def step(self, id: int, handler: str = "h", **fields: Any) -> None:
        """A step."""
        self.give(**{**STEP, "id": id, "handler": handler, **fields})

    def answer(self, id: int) -> Any:
        """What was answered for an id."""
        with self.answered:
            assert self.answered.wait_for(lambda: id in self.answers, 10), self.answers
            return self.answers[id]

    def started(self, wait: float) -> bool:
        return True

    def poll(self, max: int, wait: float) -> list[str]:
        texts = []
        try:
            texts.append(self.items.get(timeout=min(wait, 0.05)))
            while len(texts) < max:
                texts.append(self.items.get_nowait())
        except queue.Empty:
            pass
        return texts

    def complete(self, answers: list[tuple[int, str]]) -> int:
        for _, text in answers:
            text.encode("utf-8")
        with self.answered:
            for id, text in answers:
                assert id not in self.answers, f"{id} was answered twice"
                self.answers[id] = json.loads(text)
            self.answered.notify_all()
        return 0

    def ask(self, id: int, what: str, arguments: str) -> str:
        return json.dumps({"value": [what, json.loads(arguments)]})

    def ask_later(self, id: int, what: str, arguments: str) -> int:
        self._next += 1
        value = json.loads(self.ask(id, what, arguments))
        self.give(type="reply", id=self._next, value=value)
        if self.early:
            # So that the poller has it before the asker waits.
            time.sleep(0.2)
        return self._next

    def shutdown(self) -> None:
        self.give(type="stopped", error=None)

    def health(self) -> str:
        return "{}"

    def metrics(self) -> str:
        return ""

    def id(self) -> str | None:
        return None
