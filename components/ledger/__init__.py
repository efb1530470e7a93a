"""The promotion ledger: who became champion, on what evidence, by whose word — append-only, chained and signed."""

from components.ledger.chain import Finding, Head, verify
from components.ledger.entry import Action, Entry, Reading, Statement
from components.ledger.file import Ledger
from components.ledger.keys import SigningKey, TrustedKeys, signing_key, trusted_keys
from components.ledger.standing import Standing, standing

__all__ = [
    "Action",
    "Entry",
    "Finding",
    "Head",
    "Ledger",
    "Reading",
    "SigningKey",
    "Standing",
    "Statement",
    "TrustedKeys",
    "signing_key",
    "standing",
    "trusted_keys",
    "verify",
]
