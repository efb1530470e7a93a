"""A party's process with programs made for trials: what `components.mpc.process` is, plus these."""

import os
import random
import secrets
import sys
import time

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from components.errors import InvalidInput
from components.mpc.multiply import multiply_fixed
from components.mpc.process import main
from components.mpc.programs import program


def _inputs(engine, task):
    """Every owner's private vector, shared."""
    rows = task.agreement["rows"]
    own = None if task.private is None else np.load(task.private)
    return [engine.share(owner, own, (rows,)) for owner in range(engine.parties)]


@program
def combine(engine, task):
    """Sum and product of the first two owners' vectors, opened; and this party's share of the sum of all."""
    vectors = _inputs(engine, task)
    product = engine.reveal("product", multiply_fixed(vectors[0], vectors[1]))
    total = sum(vectors[1:], start=vectors[0])
    opened = engine.reveal("sum", total)
    task.report(tree=1, level=0)
    told = {"resume_from": task.resume_from, "analyst": task.analyst}
    return told if engine.deals else told | {"product": product, "sum": opened}


@program
def private_sum(engine, task):
    """The sum of the first owner's vector and a masked product: all that arrives is kept, to be searched."""
    received = bytearray()
    if not engine.deals:
        taken = engine.network._take

        def keep(name):
            frame = taken(name)
            received.extend(frame.content)
            return frame

        engine.network._take = keep
    vectors = _inputs(engine, task)
    product = multiply_fixed(vectors[0], vectors[1])
    ratio = engine.reveal("total", product.sum(axis=0).reshape(1))
    task.report(tree=1)
    (task.folder / "received.bin").write_bytes(bytes(received))
    return {} if engine.deals else {"total": ratio}


@program
def drawn(engine, task):
    """What this party draws, from everything that secrets, noise and shuffles are drawn from."""
    exponent = X25519PrivateKey.generate().private_bytes_raw().hex()
    seen = [secrets.token_hex(16), exponent, AESGCM.generate_key(256).hex(), os.urandom(16).hex(), random.random()]
    return {"drawn": [*seen, int(np.random.default_rng().integers(2**62))]}


@program
def many_rounds(engine, task):
    """Products for a long time, with an accident at one party in one round."""
    vectors = _inputs(engine, task)
    accident = task.agreement["accident"]
    for number in range(task.agreement["rounds"]):
        if number == 20:
            task.report(tree=1)
        if accident["party"] == task.name and number == accident["round"]:
            match accident["kind"]:
                case "crash":
                    raise RuntimeError(f"a value that must stay here: {np.load(task.private)[0]}")
                case "refuse":
                    raise InvalidInput("table visits.csv has no rows; give it some")
                case "kill":
                    os.kill(os.getpid(), 9)
                case "stop":
                    os.kill(os.getpid(), 19)
                case "slow":
                    time.sleep(accident["seconds"])
        multiply_fixed(vectors[0], vectors[1], site="trial")
    return {}


@program
def throughput(engine, task):
    """Large messages and small rounds, and the time they took."""
    size, rounds = task.agreement["words"], task.agreement["rounds"]
    started = time.monotonic()
    for _ in range(task.agreement["deals"]):
        engine.dealt(lambda: np.ones(size, dtype=np.uint64), (size,))
    dealt = time.monotonic() - started
    if engine.deals:
        return {}
    engine.open("start", np.zeros(1, dtype=np.uint64))
    started, cpu = time.monotonic(), time.process_time()
    words = np.ones(size, dtype=np.uint64)
    for _ in range(task.agreement["opens"]):
        engine.open("large", words)
    opened, cpu = time.monotonic() - started, time.process_time() - cpu
    started, small_cpu = time.monotonic(), time.process_time()
    for _ in range(rounds):
        engine.open("small", words[:4])
    return {
        "dealt": dealt,
        "opened": opened,
        "open_cpu": cpu,
        "round": (time.monotonic() - started) / max(rounds, 1),
        "round_cpu": (time.process_time() - small_cpu) / max(rounds, 1),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
