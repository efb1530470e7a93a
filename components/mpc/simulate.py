"""All parties and the dealer in one process, a thread each: the same program as across machines, without the wire.

For tests, benchmarks of the protocols, and anyone who wants to see a secure computation run in a notebook.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

from components.mpc.engine import Dealer, Engine, Party
from components.mpc.network import PartyLost, local_networks
from components.mpc.randomness import fresh_key

Result = TypeVar("Result")


def simulate(
    program: Callable[[Engine], Result], parties: int, *, timeout: float = 60, latency: float = 0
) -> tuple[list[Result], list[Party]]:
    """Run `program(engine)` as `parties` parties and a dealer; their results, and the parties for their counts.

    Raises
    ------
    Exception
        What the first failing party raised.
    """
    networks, dealer_network = local_networks(parties, timeout=timeout, latency=latency)
    keys = [fresh_key() for _ in range(parties)]
    engines = [Party(number, parties, networks[number], keys[number]) for number in range(parties)]
    results: dict[int, Result] = {}
    failures: list[BaseException] = []

    def run(engine: Engine) -> None:
        try:
            results[engine.party] = program(engine)
        except BaseException as error:
            failures.append(error)
            # The others would wait for this one until their time is out.
            dealer_network.stopped.set()

    threads = [
        threading.Thread(target=run, args=(engine,)) for engine in [*engines, Dealer(parties, dealer_network, keys)]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        # Who lost another party is not the cause.
        raise next((error for error in failures if not isinstance(error, PartyLost)), failures[0])
    return [results[number] for number in range(parties)], engines
