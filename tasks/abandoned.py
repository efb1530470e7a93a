"""Runs whose process died without a word, which the tracking store would call running for ever.

A run holds the lock of its key for as long as it lives; one that is called running while its lock is free is dead. That
can only be said of runs that hold locks of this home, so each is tagged with the name of its locks.
"""

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from tasks.locks import if_free, name_of_locks
from tasks.settings import Settings
from tasks.tracking import KEY, close_run

LOCKS = "troth.locks"
"""Tag of a run: the name of the locks that its own is one of."""


def close_abandoned(client: MlflowClient, settings: Settings) -> list[str]:
    """Mark dead runs and their stages KILLED, and return the runs' ids; they can still be continued."""
    named = [client.get_experiment_by_name(name) for name in settings.tracking.experiments.values()]
    experiments = [experiment.experiment_id for experiment in named if experiment]
    if not experiments:
        return []
    ours = f"tags.`{LOCKS}` = '{name_of_locks(settings)}' AND attributes.status = 'RUNNING'"
    return [
        run.info.run_id
        for run in client.search_runs(experiments, ours)
        if _closed(client, settings, run.info.run_id, run.info.experiment_id, run.data.tags[KEY])
    ]


def is_abandoned(client: MlflowClient, settings: Settings, run: Run) -> bool:
    """Whether a run the store calls running is dead, as far as the locks of this home tell; it is left as it is."""
    if run.info.status != "RUNNING" or run.data.tags.get(LOCKS) != name_of_locks(settings):
        return False
    with if_free(settings, run.data.tags[KEY]) as is_dead:
        # Asked again under the lock: it may have ended since it was listed.
        return is_dead and client.get_run(run.info.run_id).info.status == "RUNNING"


def _closed(client: MlflowClient, settings: Settings, run_id: str, experiment: str, key: str) -> bool:
    with if_free(settings, key) as is_dead:
        # Asked again under the lock: it may have ended since it was listed.
        if not is_dead or client.get_run(run_id).info.status != "RUNNING":
            return False
        stages = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}' AND attributes.status = 'RUNNING'"
        for stage in client.search_runs([experiment], stages):
            close_run(client, stage.info.run_id, "KILLED")
        close_run(client, run_id, "KILLED")
        return True
