"""Models that a server can evaluate but not read: published for one user, asked and answered under that user's keys.

Three roles (Meng and Feigenbaum, arXiv 2011.04789). The **proxy** is trusted: it holds the plain model and the master
secret, `issue`s keys and `publish`es. The **server** is not: it holds artifacts (`read_model`) and answers. The
**client** holds one user's keys (`read_client`), encrypts rows and decrypts margins.

==================== ============================================= ================================================
                     mode `order`                                  mode `hidden`
==================== ============================================= ================================================
comparison           keyed order-preserving tokens                 encrypted bits, costs added along paths
leaves               Paillier, 64-bit slots, 2^-40                 ElGamal over edwards25519, sums up to 2^28
security             112 or 128 bits for leaves; order leaks       about 126 bits
server sees          tree shapes, order of values, equal           tree shapes, which nodes ask the same,
                     categories, paths                             nothing of a query
client sees          a grid with the cut points among decoys       as many decoys as cuts; leaves of each tree
                     (or none of them: `untold`); the sum          (their number); the sum
not withstood        quantile matching over many queries;          a client who asks until it has learnt
                     averaging over many users                     the function
==================== ============================================= ================================================

In both modes: a user who colludes with the server gets the model; neither proves that the server computed what it was
asked; a client may learn the function by asking often; sizes depend on the model and the number of rows alone. Each
module states its equations, its security level and the attack it does not withstand; `leakage_report` runs the attacks.
"""

from components.encryption.frame import MOST_ROWS
from components.encryption.keys import IssuedKeys, issue, master_secret
from components.encryption.leakage import Leak, LeakageReport, leakage_report
from components.encryption.publish import MODES, Client, EncryptedModel, Publication, publish, read_client, read_model
from components.encryption.refusal import Malformed, WrongKey
from components.encryption.sealed import (
    new_user_key,
    public_user_key,
    read_protected,
    seal,
    unseal,
    write_protected,
)

__all__ = [
    "MODES",
    "MOST_ROWS",
    "Client",
    "EncryptedModel",
    "IssuedKeys",
    "Leak",
    "LeakageReport",
    "Malformed",
    "Publication",
    "WrongKey",
    "issue",
    "leakage_report",
    "master_secret",
    "new_user_key",
    "public_user_key",
    "publish",
    "read_client",
    "read_model",
    "read_protected",
    "seal",
    "unseal",
    "write_protected",
]
