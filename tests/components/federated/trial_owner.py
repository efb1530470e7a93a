"""An owner, or the aggregator, as a process: `trial_owner.py JOB.json`, with the accident the job orders.

An owner's vector for message m is (number of the owner + 1) * (m + 1) + its index; its last line says how it ended.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from components.errors import InvalidInput
from components.federated.channel import Files
from components.federated.content import Content
from components.federated.federation import Federation
from components.federated.owner import AggregatorLost, Owner
from components.federated.secure_batch import SecureBatch
from components.federated.violation import ProtocolViolation, TooFewMembers


def files_of(folder: Path, name: str) -> Files:
    return Files(folder / f"{name}.pem", folder / f"{name}.key", folder / "authority.pem")


def vector_of(number: int, message: int, length: int) -> np.ndarray:
    return np.arange(length, dtype=np.uint64) + np.uint64((number + 1) * (message + 1))


class Accident:
    """What befalls an owner: `kind` at the `at`-th call of a handler."""

    def __init__(self, kind: str = "", at: int = 0, marker: str = ""):
        self.kind, self.at, self.calls, self.marker = kind, at, -1, marker

    def strikes(self) -> bool:
        self.calls += 1
        if self.calls != self.at or (self.marker and Path(self.marker).exists()):
            return False
        match self.kind:
            case "killed":
                if self.marker:
                    Path(self.marker).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            case "stopped":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "slow":
                time.sleep(3)
            case "refuses":
                raise InvalidInput("column 'age' is missing; add it")
            case "fails":
                raise ValueError("row 17 holds 4711")
        return True


def own(job: dict) -> None:
    number, accident = job["members"].index(job["name"]), Accident(**job.get("accident", {}))

    def vector(content: Content) -> np.ndarray:
        asked = content.document
        strikes = accident.strikes()
        length = asked["length"] + (strikes and accident.kind == "wrong length")
        return vector_of(number, asked["message"], length)

    def count(content: Content) -> Content:
        strikes = accident.strikes()
        array = np.full(3, float(number))
        if strikes and accident.kind == "not a number":
            array[1] = np.nan
        if content.array is not None:
            array = array + content.array
        return Content({"name": job["name"]}, array)

    Owner(
        name=job["name"],
        files=files_of(Path(job["folder"]), job["name"]),
        address=job["address"],
        aggregator=job.get("aggregator", "aggregator"),
        members=tuple(job["members"]),
        agreement=job.get("agreement", {}),
        answers={"count": count},
        sums={"vector": vector},
        timeout=job.get("timeout", 4),
        gather=job.get("gather", 20),
    ).take_part()


def aggregate(job: dict) -> None:
    with Federation(
        name="aggregator",
        address=job["address"],
        files=files_of(Path(job["folder"]), "aggregator"),
        members=tuple(job["members"]),
        timeout=4,
    ) as federation:
        federation.gather(20)
        for _ in range(job["batches"]):
            batch = SecureBatch(federation, 2)
            for message in (0, 1):
                document = {"message": message, "length": 1000}
                result = batch.sum("vector", Content(document), message=message, length=1000)
                print(json.dumps({"total": result.total[:3].tolist(), "survivors": result.survivors}), flush=True)


def main(path: Path) -> int:
    job = json.loads(path.read_text())
    try:
        (own if job["name"] != "aggregator" else aggregate)(job)
    except (AggregatorLost, InvalidInput, ProtocolViolation, TooFewMembers) as error:
        print(json.dumps({"ended": type(error).__name__, "sentence": str(error)}), flush=True)
        return 2
    print(json.dumps({"ended": "well"}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
