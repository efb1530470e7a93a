"""What texts are known by: digests under a key of this home, without which nobody can try whether a text is among them.

The registry and its runs are for more people than the texts are. A digest of private texts alone would tell any of them
whether a guess at the texts is right; under the key it says no more than that two runs had the same.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable

import numpy as np

from components.data.texts.corpus import Utterance
from components.errors import InvalidInput
from components.privacy.likeness import digests
from components.secret_file import create_once
from tasks.settings import Settings

KINDS = TEXTS, USERS = "texts", "users"
"""What is compared, and how the files are called that digests of it lie in."""
_BYTES = 32


def text_key(settings: Settings) -> bytes:
    """32 secret bytes in `keys/texts.key`, made on first use.

    Raises
    ------
    InvalidInput
        It is gone while digests made with it are there, or holds something else.
    """
    path = settings.root / "keys" / "texts.key"
    if not path.exists():
        if made := sorted(settings.budgets.glob(f"*.{TEXTS}")):
            raise InvalidInput(
                f"text key {path} is gone, and without it nobody can tell whether texts were trained on before as "
                f"{made[0]} remembers; restore it from a copy"
            )
        create_once(path, secrets.token_bytes(_BYTES))
    key = path.read_bytes()
    if len(key) != _BYTES:
        raise InvalidInput(f"text key {path} has {len(key)} bytes instead of {_BYTES}; restore it from a copy")
    return key


def keyed(settings: Settings, digest: str) -> str:
    """A digest of texts (hex) as it may be told outside of this home; the same for the same texts."""
    return hmac.new(text_key(settings), digest.encode(), hashlib.sha256).hexdigest()


def digests_of(settings: Settings, utterances: Iterable[Utterance], *, drawn: str = "") -> dict[str, np.ndarray]:
    """Keyed digests of what was said, and of who said something; each alone, so that neither hides the other.

    Texts that were `drawn` from a grammar are nobody's, and those of another drawing are others.
    """
    key, found = text_key(settings), list(utterances)
    return {
        TEXTS: digests(key, ((TEXTS, drawn, one.text) for one in found)),
        USERS: digests(key, ((USERS, drawn, one.user) for one in found if one.user)),
    }
