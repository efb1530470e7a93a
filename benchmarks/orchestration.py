"""What orchestration adds: the `tabular` flow against the same components called directly, with a server and without.

    python benchmarks/orchestration.py [--repeats 5]

Three ways to the same verdict on the RAND records (years 1 to 3, pooled, every candidate, a champion to beat):
*components* reads, splits, trains, evaluates, judges and draws with nothing recorded; *stages* adds MLflow, the
registry and the ledger; *flow* adds Prefect. "Without a server" is Prefect's embedded one, whose start is counted
apart. A last line gives what one empty task costs.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np

YEARS = (1, 2, 3)


def components() -> None:
    """The work itself."""
    from components.boosting import predict
    from components.compatibility import count_flips
    from components.data.predictions import predictions_of
    from components.data.rand_hie import load_rand_hie
    from components.data.split import split_table
    from components.fairness import one_row_per_person
    from components.gates import CandidateScore, choose, run_gate
    from components.reporting import Report, illustrate, render_report
    from tasks.gate import constant_right
    from tasks.policies import load_policy

    table, policy = load_rand_hie(YEARS), load_policy("default")
    part = split_table(table, "troth", (0.55, 0.15, 0.30))
    train, selection, gate = (table.take(rows) for rows in (part.train, part.selection, part.gate))
    selection_one, gate_one = (rows.take(one_row_per_person(rows)) for rows in (selection, gate))
    champion = first_champion(train)
    made = list(candidates_of(train, selection, champion))
    noise = other_seed(train, selection)
    old = predictions_of(selection_one, predict(champion, selection_one)).right
    scores = []
    for one in made:
        right = predictions_of(selection_one, predict(one.booster, selection_one)).right
        nfr = count_flips(old, right).negative_flip_rate
        scores.append(CandidateScore(name=one.name, error=float(1 - right.mean()), nfr=nfr))
    chosen = choose(scores, policy.choice).name
    new, before, other = (
        predictions_of(gate_one, predict(booster, gate_one))
        for booster in (next(one.booster for one in made if one.name == chosen), champion, noise)
    )
    verdict = run_gate(policy, new, before, constant_right=constant_right(new, 0.0))
    report = Report(
        title="direct",
        made_at="",
        mode="pooled",
        rows=len(new),
        verdict=verdict,
        error=float(1 - new.right.mean()),
        flips=count_flips(before.right, new.right),
        candidates=scores,
        chosen=chosen,
        noise_floor=count_flips(new.right, other.right).negative_flip_rate,
    )
    render_report(illustrate(report, candidate=new, champion=before))


def settings():
    from components.boosting import BoostingParameters

    return BoostingParameters(rounds=100, max_depth=3)


def first_champion(train):
    from components.boosting import train_pooled

    if "champion" not in _kept:
        _kept["champion"] = train_pooled(train, settings())
    return _kept["champion"]


_kept: dict = {}


def candidates_of(train, selection, champion):
    from components.boosting.candidates import CandidatePlan, candidates

    return candidates(train, selection, champion, settings(), CandidatePlan())


def other_seed(train, selection):
    from components.boosting import retrain_with_other_seed

    return retrain_with_other_seed(train, selection, settings())


def stages() -> None:
    """The same with everything recorded, Prefect's engine left out."""
    import flows.tabular as wiring

    originals = {name: getattr(wiring, name) for name in STAGES}
    for name, task in originals.items():
        setattr(wiring, name, task.fn)
    try:
        wiring.tabular.fn(data=source(), training=settings(), seed=fresh())
    finally:
        for name, task in originals.items():
            setattr(wiring, name, task)


STAGES = ("partition", "train", "evaluate", "gate", "register", "promote", "report")


def flow() -> None:
    from flows.tabular import tabular

    tabular(data=source(), training=settings(), seed=fresh())


def source():
    from tasks.inputs import RandHie

    return RandHie(years=YEARS)


def fresh() -> int:
    """Another seed each time, so that no stage is answered from a record."""
    _kept["seed"] = _kept.get("seed", 0) + 1
    return _kept["seed"]


def timed(work) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def empty_task_seconds(count: int = 50) -> float:
    from prefect import flow as flow_of
    from prefect import task

    @task(
        persist_result=True,
        result_serializer="json",
        cache_key_fn=lambda context, given: f"empty-{given['number']}-{os.getpid()}",
    )
    def empty(number: int) -> dict:
        return {"number": number}

    @flow_of(name="empty tasks")
    def many(count: int) -> None:
        for number in range(count):
            empty(number)

    alone, _ = timed(lambda: many(0))
    together, _ = timed(lambda: many(count))
    return (together - alone) / count


def reach() -> None:
    from prefect import get_client

    with get_client(sync_client=True) as client:
        client.hello()


def measure(repeats: int, what: str) -> dict[str, tuple[float, float]]:
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    import flows  # noqa: F401  prepares the environment, before Prefect reads it

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        start, _ = timed(reach)
        flow()  # the first champion, and every import
        kinds = {"components": components, "stages": stages, "flow": flow}
        for work in kinds.values():
            work()
        found = {kind: [] for kind in kinds}
        for _ in range(repeats):
            for kind, work in kinds.items():
                found[kind].append(timed(work))
        middle = {kind: tuple(np.median(np.array(times), axis=0)) for kind, times in found.items()}
        one_task = empty_task_seconds()
    base = middle["components"]
    print(f"\n{what}: median of {repeats}\n{'':14}{'wall s':>9}{'CPU s':>9}{'added wall':>12}{'added CPU':>11}")
    for kind, (wall, cpu) in middle.items():
        print(f"{kind:14}{wall:9.2f}{cpu:9.2f}{wall - base[0]:12.2f}{cpu - base[1]:11.2f}")
    print(f"one empty task {one_task * 1000:.0f} ms; reaching Prefect the first time {start:.1f} s")
    return middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--server", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.server is not None:
        measure(options.repeats, options.server)
        return
    for what in ("without a server (embedded)", "with a server"):
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {
                "TROTH_HOME": f"{folder}/home",
                "PREFECT_LOGGING_LEVEL": "ERROR",
                "PYTHONWARNINGS": "ignore",
            }
            server = serve(environment, folder) if what == "with a server" else None
            command = [sys.executable, __file__, "--repeats", str(options.repeats), "--server", what]
            try:
                subprocess.run(command, env=environment, check=True)
            finally:
                if server:
                    server.terminate()
                    server.wait()


def serve(environment: dict, folder: str) -> subprocess.Popen:
    """A Prefect server of its own on a free port, for the time of one measurement."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment |= {"PREFECT_HOME": f"{folder}/prefect", "PREFECT_SERVER_API_PORT": str(port)}
    Path(folder, "prefect").mkdir()
    server = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    environment["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{environment['PREFECT_API_URL']}/health", timeout=2).close()
            return server
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("the Prefect server did not start")


if __name__ == "__main__":
    main()
