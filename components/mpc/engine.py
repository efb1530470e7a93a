"""The engine: one program, walked through by every party on its shares and by the dealer on nothing.

A protocol is written once. Its first lines ask for correlated randomness (`uniform`, `dealt`, …): a party gets its
share, the dealer gets the values and sends what cannot be expanded from a seed. Its other lines open masked words and
compute on them: the dealer skips these, for it has no link on which a message could reach it. Both therefore draw from
the same streams in the same order, and a correlation cannot be used twice, for nothing can be drawn again.

Security: parties follow the protocol (honest but curious) and up to N - 1 of them may pool what they saw; the dealer
colludes with none. If it does, the two together read every secret. Every opened word is masked by a fresh uniform one;
only `reveal` opens a value, and it is counted; what `intersection` shows never was a sharing.
Source: Beaver, CRYPTO 1991; Demmler, Schneider, Zohner, NDSS 2015, section III (additive sharing); dealer model:
Damgård, Thorbek et al. as in Deforth et al., PoPETs 2022(4), section 2.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from components.mpc.fixed_point import FRACTION, decode, encode
from components.mpc.network import DEALER, DealerNetwork, Network
from components.mpc.randomness import Keystream
from components.mpc.ring import WORD
from components.mpc.shared import Shared, SharedBits

Shape = tuple[int, ...]


class Engine:
    """What parties and dealer have in common: sharing, and the shape of everything."""

    party: int
    parties: int
    revealed: Counter
    """Number of values opened by `reveal`, by name; compared with what was declared."""

    @property
    def deals(self) -> bool:
        """Whether this is the dealer, who leaves a protocol before its online part."""
        return self.party == DEALER

    def share(self, owner: int, values: np.ndarray | None, shape: Shape, fraction: int = FRACTION) -> Shared:
        """The reals (of `shape`) that `owner` holds, as a sharing: its share is the value, all others are zero.

        Nothing is sent. No share ever leaves a party unmasked, so this hides as much as a random one would.
        """
        if self.party != owner:
            return Shared(self, np.zeros(shape, dtype=WORD), fraction)
        words = encode(values, fraction)
        if words.shape != tuple(shape):
            raise ValueError(f"values of shape {words.shape} shared as {shape}")
        return Shared(self, words, fraction)

    def public(self, values: np.ndarray | float, fraction: int = FRACTION) -> Shared:
        """A public number as a sharing, held by the first party."""
        return self.share(0, values, np.shape(values), fraction)

    def zeros(self, shape: Shape, fraction: int = FRACTION) -> Shared:
        """A sharing of zero."""
        return Shared(self, np.zeros(shape, dtype=WORD), fraction)


class Party(Engine):
    """A data owner's engine."""

    def __init__(self, party: int, parties: int, network: Network, key: bytes):
        self.party, self.parties, self.network = party, parties, network
        self.stream = Keystream(key)
        self.revealed = Counter()

    @property
    def peers(self) -> tuple[int, ...]:
        return tuple(other for other in range(self.parties) if other != self.party)

    def uniform(self, shape: Shape, dtype=WORD) -> np.ndarray:
        """This party's share of a uniform value nobody knows; the dealer gets the value (see `Dealer`)."""
        return self.stream.draw(shape, dtype)

    def uniform_bits(self, shape: Shape, dtype=np.uint8) -> np.ndarray:
        """The same, shared by exclusive or."""
        return self.stream.draw(shape, dtype)

    def dealt(self, compute: Callable[[], np.ndarray], shape: Shape, dtype=WORD) -> np.ndarray:
        """This party's additive share of what the dealer computes from uniform values."""
        return self._dealt(shape, dtype)

    def dealt_bits(self, compute: Callable[[], np.ndarray], shape: Shape, dtype=np.uint8) -> np.ndarray:
        """The same, shared by exclusive or."""
        return self._dealt(shape, dtype)

    def private(self, owner: int, shape: Shape, dtype=WORD) -> np.ndarray | None:
        """Uniform values that only `owner` and the dealer know; None elsewhere."""
        return self.stream.draw(shape, dtype) if self.party == owner else None

    def uniform_except(self, owner: int, shape: Shape, dtype=WORD) -> np.ndarray | None:
        """Uniform values, one array of each party but `owner`, who gets None; the dealer gets their sum."""
        return None if self.party == owner else self.stream.draw(shape, dtype)

    def private_permutation(self, owner: int, size: int) -> np.ndarray | None:
        """A uniform permutation (int32) that only `owner` and the dealer know; None elsewhere."""
        return self.stream.permutation(size) if self.party == owner else None

    def dealt_to(self, owner: int, compute: Callable[[], np.ndarray], shape: Shape) -> np.ndarray | None:
        """Words the dealer computes for `owner` alone; None elsewhere. They must be masked by what it does not know."""
        return self._from_dealer(shape, WORD) if self.party == owner else None

    def open(self, site: str, *masked: np.ndarray) -> list[np.ndarray]:
        """Open masked words: every party learns Σ of the shares. One round, however many arrays."""
        return self._open(site, masked, [np.add] * len(masked))

    def open_bits(self, site: str, *masked: np.ndarray) -> list[np.ndarray]:
        """Open masked bits or bit fields, shared by exclusive or."""
        return self._open(site, masked, [np.bitwise_xor] * len(masked))

    def open_both(self, site: str, words: np.ndarray, bits: np.ndarray) -> list[np.ndarray]:
        """Open masked words and masked bit fields in one round."""
        return self._open(site, (words, bits), [np.add, np.bitwise_xor])

    def send(
        self, site: str, outgoing: Mapping[int, np.ndarray], incoming: Mapping[int, Shape]
    ) -> dict[int, np.ndarray]:
        """One round of words to single parties; `incoming` gives the shapes expected from each."""
        received = self.network.round(
            site,
            {peer: np.ascontiguousarray(words).view(np.uint8).reshape(-1).data for peer, words in outgoing.items()},
            {peer: 8 * int(np.prod(shape, dtype=np.int64)) for peer, shape in incoming.items()},
        )
        return {peer: np.frombuffer(received[peer], dtype=WORD).reshape(shape) for peer, shape in incoming.items()}

    def reveal(self, name: str, value: Shared, to: int | None = None) -> np.ndarray | None:
        """Open a value itself, to all parties or to one; None for the others. The only way a value comes out.

        A fresh sharing of zero is added first, so that the shares say nothing beyond their sum.
        """
        self.revealed[name] += value.size
        fresh = value.words + self._dealt(value.shape, WORD)
        if to is None:
            (total,) = self.open(f"reveal {name}", fresh)
        elif self.party == to:
            others = self.send(f"reveal {name}", {}, dict.fromkeys(self.peers, value.shape))
            total = sum(others.values(), start=fresh)
        else:
            self.send(f"reveal {name}", {to: fresh}, {})
            return None
        return decode(total, value.fraction)

    def reveal_bits(self, name: str, value: SharedBits) -> np.ndarray:
        """Open shared bits to all parties, (…) uint8."""
        self.revealed[name] += value.size
        (total,) = self.open_bits(f"reveal {name}", value.words ^ (self._dealt(value.shape, np.uint8) & np.uint8(1)))
        return total

    def _open(self, site: str, masked: Sequence[np.ndarray], combine: Sequence[np.ufunc]) -> list[np.ndarray]:
        flat = [np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in masked]
        message = flat[0] if len(flat) == 1 else np.concatenate(flat)
        received = self.network.round(
            site, dict.fromkeys(self.peers, message.data), {peer: len(message) for peer in self.peers}
        )
        opened, start = [], 0
        for array, octets, join in zip(masked, flat, combine, strict=True):
            total = np.ascontiguousarray(array)
            for content in received.values():
                theirs = np.frombuffer(content[start : start + len(octets)], dtype=array.dtype).reshape(array.shape)
                total = join(total, theirs)
            opened.append(total)
            start += len(octets)
        return opened

    def _dealt(self, shape: Shape, dtype) -> np.ndarray:
        # All but the last party expand their share from the seed; the last is sent what is missing to the value.
        last = self.party == self.parties - 1
        return self._from_dealer(shape, dtype) if last else self.stream.draw(shape, dtype)

    def _from_dealer(self, shape: Shape, dtype) -> np.ndarray:
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        return np.frombuffer(self.network.from_dealer(size), dtype=dtype).reshape(shape)


class Dealer(Engine):
    """Who hands out correlated randomness: it has every key, and sees nothing of what the parties do with it."""

    def __init__(self, parties: int, network: DealerNetwork, keys: Sequence[bytes]):
        self.party, self.parties, self.network = DEALER, parties, network
        self.streams = [Keystream(key) for key in keys]
        self.revealed = Counter()

    def uniform(self, shape: Shape, dtype=WORD) -> np.ndarray:
        """The value whose shares the parties draw."""
        return self._total(self.streams, shape, dtype, np.add)

    def uniform_bits(self, shape: Shape, dtype=np.uint8) -> np.ndarray:
        return self._total(self.streams, shape, dtype, np.bitwise_xor)

    def dealt(self, compute: Callable[[], np.ndarray], shape: Shape, dtype=WORD) -> np.ndarray:
        """Compute a value, deal it, and return it."""
        value = compute()
        others = self._total(self.streams[:-1], shape, dtype, np.add)
        self._send(self.parties - 1, np.subtract(value, others, out=others))
        return value

    def dealt_bits(self, compute: Callable[[], np.ndarray], shape: Shape, dtype=np.uint8) -> np.ndarray:
        value = compute()
        others = self._total(self.streams[:-1], shape, dtype, np.bitwise_xor)
        self._send(self.parties - 1, np.bitwise_xor(value, others, out=others))
        return value

    def private(self, owner: int, shape: Shape, dtype=WORD) -> np.ndarray:
        return self.streams[owner].draw(shape, dtype)

    def uniform_except(self, owner: int, shape: Shape, dtype=WORD) -> np.ndarray:
        others = [stream for party, stream in enumerate(self.streams) if party != owner]
        return self._total(others, shape, dtype, np.add)

    def private_permutation(self, owner: int, size: int) -> np.ndarray:
        return self.streams[owner].permutation(size)

    def dealt_to(self, owner: int, compute: Callable[[], np.ndarray], shape: Shape) -> np.ndarray:
        value = compute()
        self._send(owner, value)
        return value

    def reveal(self, name: str, value: Shared, to: int | None = None) -> None:
        self.revealed[name] += value.size
        self.dealt(lambda: np.zeros(value.shape, dtype=WORD), value.shape)

    def reveal_bits(self, name: str, value: SharedBits) -> np.ndarray:
        """Zeros: a program may go on from revealed bits, whose shape is all the dealer needs."""
        self.revealed[name] += value.size
        self.dealt_bits(lambda: np.zeros(value.shape, dtype=np.uint8), value.shape)
        return np.zeros(value.shape, dtype=np.uint8)

    def _total(self, streams: Sequence[Keystream], shape: Shape, dtype, combine: np.ufunc) -> np.ndarray:
        total = streams[0].draw(shape, dtype)
        for stream in streams[1:]:
            combine(total, stream.draw(shape, dtype), out=total)
        return total

    def _send(self, party: int, value: np.ndarray) -> None:
        self.network.deal(party, np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
