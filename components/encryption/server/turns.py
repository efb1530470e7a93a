"""Whose turn it is for a long answer: one at a time for each user, few wait, and nobody behind one user's many.

Quotas say how much may be asked in a minute; this says who is heard first. A user's questions come one after another,
so a thread that becomes free takes the next user's, and whoever sends more than may wait is told so at once.
"""

from asyncio import Lock
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from components.encryption.server.refused import Refused

T = TypeVar("T")


class Turns:
    """One worker's; places are taken before anything is spent, and answers computed in them."""

    def __init__(self, threads: int, *, most: int, most_a_user: int) -> None:
        """`most` and `most_a_user` count those that are being answered and those that wait."""
        self.most, self.most_a_user = most, most_a_user
        self._threads, self._places, self._one = CapacityLimiter(threads), Counter(), {}

    @contextmanager
    def place(self, user: str) -> Iterator[None]:
        """Hold a place for a user's question.

        Raises
        ------
        Refused
            There is none.
        """
        if self._places[user] >= self.most_a_user:
            what = f"{self.most_a_user} long questions of this user are being answered or waiting"
            raise Refused(503, "busy", f"{what}; ask again when one is answered", retry_after=2)
        if self._places.total() >= self.most:
            raise Refused(503, "busy", "too many long questions are waiting; ask again", retry_after=2)
        self._places[user] += 1
        self._one.setdefault(user, Lock())
        try:
            yield
        finally:
            self._places[user] -= 1
            if not self._places[user]:
                del self._places[user], self._one[user]

    async def take(self, user: str, answer: Callable[[bytes], T], query: bytes) -> T:
        """The answer, in a thread, when the user's turn has come; for one who holds a place."""
        async with self._one[user]:
            return await to_thread.run_sync(answer, query, limiter=self._threads)
