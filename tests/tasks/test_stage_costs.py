"""What a stage took stands in its run, all of it where it was cut off and went on."""

import time

import pytest

from tasks.references import Run
from tasks.tracking import PROCESSOR_SECONDS, SECONDS, connect, experiment_id, find_stage, stage_run


def busy(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_a_stage_that_was_cut_off_counts_what_it_took_before(home):
    settings, client = connect()
    experiment = experiment_id(client, settings, "language")
    parent = client.create_run(experiment).info.run_id
    run = Run(run_id=parent, experiment_id=experiment, name="run", model="model", champion=None)

    def costs() -> tuple[float, float]:
        metrics = find_stage(client, parent, experiment, "audit").data.metrics
        return metrics[SECONDS], metrics[PROCESSOR_SECONDS]

    def cut_off() -> None:
        with stage_run(client, run, "audit"):
            busy(0.2)
            raise KeyError

    with pytest.raises(KeyError):
        cut_off()
    cut = costs()
    with stage_run(client, run, "audit"):
        time.sleep(0.2)
    whole = costs()
    assert cut[1] >= 0.2
    assert whole[0] >= cut[0] + 0.2
    assert cut[1] <= whole[1] < cut[1] + 0.2
