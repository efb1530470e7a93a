"""How a sum fails that may not go on: somebody lied, or too few are left.

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
