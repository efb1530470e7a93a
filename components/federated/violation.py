"""How a sum fails that may not go on: somebody lied, too few are left, or not those who were there before.

Neither can be mended by what a user wrote, so neither is `InvalidInput`. No sentence ever holds a key, a share or a
value.
"""


class ProtocolViolation(Exception):
    """A message that an honest party would not have sent; `name` is who sent it, as far as that can be known."""

    def __init__(self, name: str, what: str):
        super().__init__(f"'{name}' {what}")
        self.name = name


class TooFewMembers(RuntimeError):
    """Fewer members are left than the threshold asks for, so nothing may be revealed."""


class MembersChanged(TooFewMembers):
    """A sum has not the members that the sums before it in its batch have, so nothing of it can be revealed.

    What the two would differ by is what those who left gave, which the masks they share with the others hide.
    """
