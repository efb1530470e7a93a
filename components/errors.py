"""The one exception for what a caller can put right.

Everything that reads something a person wrote (a table, a schema, a policy, a parameter) raises `InvalidInput` with a
single sentence that names the thing, its value and the remedy. The command line prints that sentence and exits with
code 2; a flow run fails with it as its message. Any other exception is a fault of ours.
"""


class InvalidInput(ValueError):
    """A mistake in the input; the message is one complete sentence meant for the person who made it."""
