"""What an encrypted exchange refuses: messages that are malformed, and keys that are not the right ones.

Both are sentences for the person at the other end and name lengths, positions and fingerprints alone: never a key, a
value or a token.
"""

from components.errors import InvalidInput


class Malformed(InvalidInput):
    """A message or artifact that no honest writer produces; it was refused before anything was computed on it."""


class WrongKey(InvalidInput):
    """Something encrypted under one key was met with another."""
