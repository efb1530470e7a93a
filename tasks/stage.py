"""What every stage of a pipeline has in common: its cache key, its retries, its logger.

A stage returns a small JSON record (addresses, digests, numbers), keyed by everything it was given and by the version
of its own logic. So a flow that failed is continued, not repeated: stages that finished answer from their records.
Models and tables never pass through Prefect.
"""

import hashlib
import json
import logging
from collections.abc import Callable

from prefect import task
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger


def stage(*, version: int, run_name: str, cached: bool = True) -> Callable:
    """A task of a pipeline. Raise `version` when its logic changes, so that records of the old logic are not reused."""
    return task(
        task_run_name=run_name,
        persist_result=True,
        result_serializer="json",
        cache_key_fn=_by_content(version) if cached else None,
        retries=2,
        retry_delay_seconds=[2, 10],
        retry_condition_fn=_is_passing_trouble,
    )


def logger() -> logging.Logger | logging.LoggerAdapter:
    """The run's logger, or a plain one where a stage is called outside a run."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("troth")


def _by_content(version: int) -> Callable:
    def key(context, arguments: dict) -> str:
        text = json.dumps(arguments, sort_keys=True, default=_as_json)
        digest = hashlib.sha256(f"{context.task.task_key}:{version}:{text}".encode()).hexdigest()
        return f"troth-{digest}"

    return key


def _as_json(value) -> object:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)


def _is_passing_trouble(task, run, state) -> bool:
    """Retry what may go away by itself: a store that is busy or out of reach. Never a verdict or a mistake."""
    # Owners' machines, which only log, do without MLflow and the seconds of its import.
    from mlflow.exceptions import MlflowException

    match state.data:
        case MlflowException() as error:
            # MLflow calls a server that does not answer an internal error, and a full disk too, which stays full.
            passing = error.error_code in {"TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "REQUEST_LIMIT_EXCEEDED"}
            return passing and "disk is full" not in str(error)
        case ConnectionError() | TimeoutError():
            return True
        case _:
            return False
