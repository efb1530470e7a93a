"""What must not be found on the server's machine, and a search for it in a process's memory."""

import json
from collections.abc import Sequence

import numpy as np

from components.encryption.user import read_user


def secrets_of(world, *, model: str) -> dict[str, bytes]:
    """What the server's machine must not hold, from the proxy's machine, which is away."""
    from components.boosting.model import from_document, model_digest
    from components.encryption import issue
    from components.encryption.forest import read_forest

    away = world.folder / "away" / "home"
    (path,) = away.rglob("model.json")
    booster = from_document(json.loads(path.read_text()))
    forest = read_forest(booster)
    master = (away / "proxy" / "master.key").read_bytes()
    found = {"master": master}
    users = {name: read_user(world.folder / name) for name in ("ada", "bob")}
    for name, user in users.items():
        keys = issue(master, user=name, model=model_digest(booster), epoch=1, bits=2048, name=model)
        found |= {f"seed of {name}": user.seed, f"root of {name}": keys.root, f"opening key of {name}": user.opening}
        found |= {f"key of {purpose} of {name}": keys.key(purpose) for purpose in ("order", "names")}
        found |= {f"x of {name}": keys.elgamal.x}
        for which, prime in (("p", keys.paillier.p), ("q", keys.paillier.q)):
            octets = int(prime).to_bytes(int(prime).bit_length() // 8, "big")
            found |= {f"{which} of {name}": octets, f"{which} of {name}, turned": octets[::-1]}
    found |= {name: name.encode() for name in forest.features if len(name) > 12}
    # Halves and the like are in any memory; numbers with a full mantissa are not.
    cuts = [float(cut) for cut in forest.threshold if not np.isnan(cut) and cut.view(np.uint32) & 0xFF]
    # Who has the model has all of it, so some are enough.
    leaves = some(forest.value[forest.is_leaf])
    found |= {f"threshold {cut}": np.float64(cut).tobytes() for cut in some(cuts)}
    # Four given octets are met by chance in so much memory, two thresholds side by side are not.
    for order in (cuts, sorted(set(cuts))):
        pairs = some([*zip(order, order[1:], strict=False)])
        found |= {f"thresholds {pair}": np.float32(pair).tobytes() for pair in pairs if pair[0] != pair[1]}
    found |= {f"leaf {leaf}": np.float64(leaf).tobytes() for leaf in leaves}
    found |= {f"text of leaf {leaf}": f"{leaf:.8E}".encode() for leaf in leaves}
    assert len(found) > 80
    return found


def some(things: Sequence) -> Sequence:
    """About twenty, from all over."""
    return things[:: max(1, len(things) // 20)]


def memory_of(pid: int):
    """All that a process can write to, piece by piece."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            place, rights = line.split()[:2]
            start, end = (int(part, 16) for part in place.split("-"))
            if rights.startswith("rw") and "[v" not in line:
                memory.seek(start)
                try:
                    yield memory.read(end - start)
                except OSError:
                    continue


def met_in(pid: int, secrets: dict[str, bytes]) -> set[str]:
    """Which of them stand in a process's memory; where their last two octets do, the rest is looked at."""
    ends, is_end, met = {}, np.zeros(2**16, dtype=bool), set()
    for name, secret in secrets.items():
        ends.setdefault(secret[-2:], []).append((name, secret))
        is_end[int.from_bytes(secret[-2:], "little")] = True
    for piece in memory_of(pid):
        octets = np.frombuffer(piece, dtype=np.uint8).astype(np.uint16)
        for place in np.flatnonzero(is_end[octets[:-1] | octets[1:] << 8]).tolist():
            end = place + 2
            met |= {name for name, secret in ends[piece[place:end]] if piece.endswith(secret, 0, end)}
    return met
