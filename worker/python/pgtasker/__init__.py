"""Workers for Tasker, the workflow engine on PostgreSQL."""

from .capabilities import (
    Api,
    Batch,
    Batchable,
    BatchPages,
    Checkpoint,
    Cursor,
    Decision,
    Instance,
    Response,
    StepOutcome,
)
from .consumer import EventConsumer
from .context import StepContext, current
from .errors import Permanent, Retryable, StepError, WorkerError
from .events import DomainEvent, EventSubscription, Publication
from .logging_bridge import StepFilter
from .parents import ParentPages
from .transaction import StepTransaction
from .worker import Worker

__all__ = [
    "Api",
    "Batch",
    "BatchPages",
    "Batchable",
    "Checkpoint",
    "Cursor",
    "Decision",
    "DomainEvent",
    "EventConsumer",
    "EventSubscription",
    "Instance",
    "ParentPages",
    "Permanent",
    "Publication",
    "Response",
    "Retryable",
    "StepContext",
    "StepError",
    "StepFilter",
    "StepOutcome",
    "StepTransaction",
    "Worker",
    "WorkerError",
    "current",
]
