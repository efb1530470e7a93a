"""What federation costs, part by part.

    python benchmarks/federated.py [--part secure_aggregation] [--words 491520] [--quick]

`secure_aggregation`: six sums among 3, 10 and 30 members in one process, without a network: what a member computes to
join the batch and to mask a vector of its first and of its later sums, what the collector computes for the first when
nobody or one member is lost and for a later one, and bytes beside the vectors; then three real owners over loopback.
Times are of the processor, but for loopback. The vector is that of a tree of depth 6 with 30 features and 256 bins, and
what a later sum is compared with is the plain one.
"""

import argparse
import multiprocessing
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from components.federated import Content, Federation, Files, Owner, SecureBatch, least_survivors
from components.federated.batch import Batch
from components.federated.collector import Collection, LaterSum
from components.federated.identity import issued
from components.federated.member import Member
from components.parties.certificates import make_authority, pem

MESSAGES = 6


def secure_aggregation(arguments: argparse.Namespace) -> None:
    words = arguments.words
    vector = np.random.default_rng(0).integers(0, 2**40, words, dtype=np.uint64)
    plain = best(lambda: np.add(vector, vector))
    print(f"{words} words = {words * 8 / 1e6:.2f} MB; adding one in plain takes {1000 * plain:.2f} ms\n")
    columns = (
        "join ms",
        "first mask",
        "later mask",
        "first sum",
        "1 lost",
        "later sum",
        "to plain",
        "set-up kB",
        "kB over",
    )
    print("members" + "".join(f"{name:>12}" for name in columns))
    for count in (3, 10) if arguments.quick else (3, 10, 30):
        print(f"{count:7}" + "".join(f"{value:12.2f}" for value in in_one_process(count, vector, plain)))
    seconds, over = over_loopback(vector, 3 if arguments.quick else 10)
    print(f"\n3 owners over loopback TLS: {1000 * seconds:.0f} ms a sum, {over / 1000:.1f} kB beside the vectors")


def in_one_process(count: int, vector: np.ndarray, plain: float) -> tuple[float, ...]:
    """Processor milliseconds to join a batch, to mask and to sum, first and later; to the plain sum; and kilobytes."""
    authority, names = make_authority(), tuple(f"owner{number:02}" for number in range(count))
    identities = {name: issued(name, authority) for name in names}
    watched, first, later, collecting = names[count // 2], Stopwatch(), Stopwatch(), {0: [], 1: [], "later": []}
    # All sums of a batch are of the same members, so one with a member lost has a batch of its own.
    for lost in (0, 1):
        members, collection, joining = set_up(identities, authority, watched, number=lost, messages=MESSAGES)
        for message in range(MESSAGES):
            masking = later if message else first
            spent, result = one_sum(collection, members, message, vector, masking, watched, lost)
            np.testing.assert_array_equal(result.total, vector * np.uint64(len(result.survivors)))
            collecting["later" if message else lost].append(spent)
    masked, added = later.total / (2 * (MESSAGES - 1)), min(collecting["later"])
    over = result.received / len(result.survivors) - vector.nbytes
    exchanged = (collection.received + collection.sent) / count
    spent = (joining.total, first.total / 2, masked, *collecting[0], *collecting[1], added)
    to_plain = (count * masked + added) / (count * plain)
    return (*(1000 * value for value in spent), to_plain, exchanged / 1000, over / 1000)


def whole_batch(count: int, lengths: Sequence[int]) -> float:
    """Processor seconds that all members and the collector take for a batch of sums of so many words each."""
    authority, names = make_authority(), tuple(f"owner{number:02}" for number in range(count))
    identities = {name: issued(name, authority) for name in names}
    vectors = [np.zeros(length, dtype=np.uint64) for length in lengths]
    started = time.process_time()
    members, collection, _ = set_up(identities, authority, "", number=0, messages=len(lengths))
    for message, vector in enumerate(vectors):
        one_sum(collection, members, message, vector, Stopwatch(), "", 0)
    return time.process_time() - started


def set_up(identities, authority, watched, *, number: int, messages: int):
    """Members and a collector that have joined a batch, and how long the watched one took."""
    names, threshold, joining = tuple(identities), least_survivors(len(identities)), Stopwatch()
    members = {
        name: Member(identity, authority=authority.certificate, members=names, threshold=threshold, run="benchmark")
        for name, identity in identities.items()
    }
    collection = Collection(Batch("benchmark", number, names, threshold, messages), authority=authority.certificate)
    announcement = collection.announcement()
    for name, member in members.items():
        collection.advertised(name, joining.time(name == watched, member.advertise, announcement))
    advertisements = collection.close_advertising()
    for name, member in members.items():
        collection.shared(name, joining.time(name == watched, member.share, advertisements))
    for name, delivery in collection.close_sharing().items():
        joining.time(name == watched, members[name].receive, delivery)
    return members, collection, joining


def one_sum(collection, members, message, vector, masking, watched, lost):
    """Seconds of the collector, and the sum, of `message` without the first `lost` members."""
    collector = Stopwatch()
    summing = collection.sum(message, len(vector))
    for name in list(members)[lost:]:
        masked = masking.time(name == watched, members[name].mask, message, vector)
        collector.time(True, summing.masked, name, masked)
    if isinstance(summing, LaterSum):
        return collector.total, collector.time(True, summing.close)
    survivors = collector.time(True, summing.close_masked)
    for name in summing.survivors:
        collector.time(True, summing.signed, name, members[name].sign(survivors))
    signatures = collector.time(True, summing.close_signed)
    for name in summing.survivors:
        collector.time(True, summing.revealed, name, members[name].unmask(signatures))
    result = collector.time(True, summing.close)
    return collector.total, result


def over_loopback(vector: np.ndarray, sums: int) -> tuple[float, float]:
    """Seconds a sum, and bytes beside the vectors, with three owners as processes."""
    names = ("hospital", "insurer", "registry")
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        listener.close()
        write_files(Path(folder), [*names, "aggregator"])
        start = multiprocessing.get_context("spawn").Process
        owners = [start(target=own, args=(name, folder, address, names, len(vector))) for name in names]
        for owner in owners:
            owner.start()
        with Federation("aggregator", address, files_of(folder, "aggregator"), names) as federation:
            federation.gather(120)
            batch = SecureBatch(federation, sums + 1)
            batch.sum("vector", Content(), message=0, length=len(vector))
            started = time.perf_counter()
            results = [batch.sum("vector", Content(), message=1 + at, length=len(vector)) for at in range(sums)]
            seconds = (time.perf_counter() - started) / sums
        for owner in owners:
            owner.join()
    return seconds, results[-1].received + results[-1].sent - 3 * vector.nbytes


def own(name: str, folder: str, address: str, names: tuple[str, ...], words: int) -> None:
    vector = np.random.default_rng(0).integers(0, 2**40, words, dtype=np.uint64)
    Owner(name, files_of(folder, name), address, "aggregator", names, sums={"vector": lambda _: vector}).take_part()


class Stopwatch:
    """Processor seconds spent in calls."""

    def __init__(self):
        self.total = 0.0

    def time(self, counts: bool, function: Callable, *arguments):
        started = time.thread_time()
        result = function(*arguments)
        self.total += counts * (time.thread_time() - started)
        return result


def best(function: Callable, repeats: int = 20) -> float:
    """Processor seconds of the fastest of several calls."""
    spent = []
    for _ in range(repeats):
        started = time.thread_time()
        function()
        spent.append(time.thread_time() - started)
    return min(spent)


def write_files(folder: Path, names: list[str]) -> None:
    authority = make_authority()
    (folder / "authority.pem").write_bytes(pem(authority.certificate))
    for name in names:
        certificate, key = authority.issue(name)
        (folder / f"{name}.pem").write_bytes(certificate)
        (folder / f"{name}.key").touch(mode=0o600)
        (folder / f"{name}.key").write_bytes(key)


def files_of(folder: str, name: str) -> Files:
    return Files(Path(folder, f"{name}.pem"), Path(folder, f"{name}.key"), Path(folder, "authority.pem"))


PARTS = {"secure_aggregation": secure_aggregation}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, default=next(iter(PARTS)))
    parser.add_argument("--words", type=int, default=2**5 * 30 * 256 * 2)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    PARTS[arguments.part](arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
