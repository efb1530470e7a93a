"""What the server says instead of an answer: a status, a word for programs, a sentence for people.

Sentences name versions, epochs, lengths and times alone. Nothing of a query, a key or another user is in them.
"""


class Refused(Exception):
    """A request that is not answered, through no fault of the server's."""

    def __init__(self, status: int, reason: str, sentence: str, *, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.reason, self.sentence, self.retry_after = status, reason, sentence, retry_after
