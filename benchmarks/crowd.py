"""Federated boosting among very many small owners of whom each round asks a few, all on this machine.

    python benchmarks/crowd.py                                        100 000 owners, 50 and 200 a round, 3 rounds
    python benchmarks/crowd.py --owners 1000000 --chosen 50 --rows 1000000

As `--partition crowd:100000 --select 50` trains, through the same code: the owners of a table of simulated patients, in
the open and with the whole protocol of masks among the chosen. Each setting is a process of its own. *Begin* is the
search for cut points, among as many as have ten rows a bin together, and the sum of labels; *a round* is without the
first. Seconds are of the processor, of which one thread is used. *MB* is what would pass between machines in a round;
*peak* is of the process, its table and all owners' names included.
"""

import argparse
import multiprocessing
import resource
import time

from components.boosting.federated import Agreement, train
from components.boosting.federated.crowd import CrowdOfOwners
from components.boosting.parameters import BoostingParameters
from components.data.multiple_sclerosis import simulate_multiple_sclerosis
from components.data.split import SALT, SHARES
from components.federated import SecureBatch
from components.federated.selection import Selection
from components.federated.simulation import OpenBatch, SimulatedFederation
from components.partition import Crowd

COLUMNS = ("owners", "a round", "masks", "deal s", "begin s", "a round s", "MB a round", "table MiB", "peak MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--owners", type=int, nargs="+", default=[100_000])
    parser.add_argument("--chosen", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--bins", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=int, help="rounds a row stays at its owner; all the time unless told")
    asked = parser.parse_args()
    print("".join(f"{name:>12}" for name in COLUMNS))
    context = multiprocessing.get_context("spawn")
    for owners in asked.owners:
        for chosen in asked.chosen:
            for masks in (False, True):
                plan = Crowd(owners=owners, window=asked.window, masks=masks)
                with context.Pool(1) as alone:
                    figures = alone.apply(trained, (plan, chosen, asked.rows, asked.rounds, asked.bins))
                words = f"{owners:12}{chosen:12}{'yes' if masks else 'no':>12}"
                print(words + "".join(f"{one:12.2f}" for one in figures), flush=True)


def trained(plan: Crowd, chosen: int, rows: int, rounds: int, bins: int) -> tuple[float, ...]:
    """Seconds to deal, to begin, of a round after the first; MB of a round; MiB with the table alone, and at most."""
    table = simulate_multiple_sclerosis(rows, 0, case_share=0.3)
    agreement = Agreement(
        schema_text=table.schema.model_dump_json(),
        salt=SALT,
        shares=SHARES,
        parameters=BoostingParameters(rounds=rounds + 1, max_depth=4, max_bin=bins, threads=1),
        selection=Selection(owners=chosen),
    )
    with_table, times = peak(), [time.process_time()]
    crowd = CrowdOfOwners(agreement, table, plan)
    federation = SimulatedFederation(crowd, crowd.names)
    times.append(time.process_time())

    def begins(number: int) -> None:
        times.append(time.process_time())
        crowd.come_to(number)
        federation.next_round()

    progress = train(federation, agreement, begins=begins, batches=SecureBatch if plan.masks else OpenBatch)
    times.append(time.process_time())
    dealt, begun, _first, *later, last = times[1:]
    traffic = sum(one.received + one.sent for one in progress.rounds[1:]) / rounds / 1e6
    return dealt - times[0], begun - dealt, (last - later[0]) / rounds, traffic, with_table, peak()


def peak() -> float:
    """MiB of this process at most, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
