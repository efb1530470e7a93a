"""Federation: owners keep their rows, an aggregator learns sums over them, and nobody learns what one of them gave.

**Setting.** Members u = 1 .. n hold vectors x_u of words of Z_2^64. Each knows the names of all, a threshold t, and the
authority whose certificates name them. The collector relays everything and may lie. It shall learn the sum over the
survivors and who they are, although members may be lost at any moment.

**Double masking** (Bonawitz et al. 2017). Every pair has a key s_uv = s_vu, every member a seed b_u:

    y_u = x_u + PRG(b_u) + sum_{v > u} PRG(s_uv) - sum_{v < u} PRG(s_uv)      (mod 2^64)

so that in the sum over all the pairs cancel and only the PRG(b_u) are left to take away. A lost v leaves its pairs with
the survivors open; they are computed again from v's private key. Hence two secrets, each in t-of-n shares: of a
survivor the seed is revealed, of a lost member the key, and of nobody both, for both would open y_u.

**A batch** (a tree, say) is M sums of the same members, whom its first settles. Keys take two round trips, the first
sum three, and each other one.

    1  advertise  u -> all        public keys for sealing and for masks, commitment to b_u, all signed
    2  share      u -> v          shares of u's private key and of its seed, sealed so that only v can open them
    3  (receive)                  v opens its shares, and who dealt is settled; they travel with the first sum
    4  mask       u -> collector  y_u of the first sum
    5  sign       u -> collector  signature on (agreement, message, who dealt, who survived): one set a batch
    6  unmask     u -> collector  after t signatures on that set: of each survivor the share of its seed, of each
                                  lost member that of its key
    7  mask       u -> collector  of each later sum k: x_u + sum_{v > u} PRG(s_uv, k) - sum_{v < u} PRG(s_uv, k),
                                  over the survivors v alone

A later sum needs no seed: that protects a vector whose sender is counted as lost although it was not, and of those who
have signed the set nobody is counted as lost any more. Either all of them give and the masks cancel, or the sum cannot
be had. A lost member's key opens none of it, since nobody uses it there.

**Who sees what.** The collector sees public keys, sealed shares, uniform y_u, names of survivors, t shares or more of
one secret of each member, and the sums. A member sees public keys, its own shares (one of each secret), and names. The
sum itself, and what is computed from it, are not hidden: noise on it is `noise`, what that buys `noise_account`.

**What holds it together.**
- One story. A collector that calls v lost to some and alive to others would get both of its secrets. Each story needs
  the signatures and shares of t members, and an honest one tells one story only. With c members on the collector's
  side, who tell both, two stories need 2 t <= n + c; so t is more than half of n + c (`batch.least_survivors`, c = 0
  unless asked for: a larger t means that fewer may be lost).
- One set a batch. Two sums that differ by one member show what it gave, so what belongs together is one batch, and all
  its sums are of those who gave to the first. Members give to no second sum before t have signed of whom the first is;
  when one of them is lost the batch is over, for the others' masks with it cancel nowhere.
- One question. Masks of pairs depend on all that was asked in the batch so far. A collector that asks the others for
  rows they do not have, so that the sum would be one member's own, has a sum under masks.
- Keys for every batch, and from them one for every mask. To finish the first sum without a lost member reveals its
  private key; when it comes back it has others, in the next batch.
- One context. Masks, seals and signatures are bound to the digest of all advertisements as this member saw them, which
  contain run, batch, roster, threshold and fresh keys, and to message and pair. What was said elsewhere, or among
  members that were shown another roster, fits nothing.
- Proof before trust. A recovered key must give the advertised public key, and a seed its commitment. So a wrong share
  is found; where enough others are there the sum is right all the same, and says whose word is against whose.
- No way back. Who refuses overwrites its secrets of the batch; nothing is ever sent unmasked instead.

**Why not one that exists.** Flower's SecAgg+ (`secaggplus_mod`) draws masks from `np.random.RandomState`, seeded with
the key folded to 32 bits (issue 7522), and both can be tried out; keys are not signed, so a lying server can agree on
masks with everybody itself; there is no signature on survivors, and a client answers for a member that is called
active and dead at once. FedML (`core/mpc/lightsecagg`, `secagg`) encodes masks with zeros where the paper has uniform
noise, and shares by NumPy's global generator. Here a mask is X25519, HKDF-SHA256 over its whole context and AES-256
in counter mode; secrets are the operating system's; shares lie in a field larger than what they share; who speaks
has a certificate.

**What it does not do.** Batches of different members can be subtracted; what they may have in common is for whoever
asks, and for those who answer, to see to. It checks the form of x_u, not its honesty. An onlooker sees how long vectors
are, and who takes part. Python cannot promise that an overwritten secret had no copy.

Read in this order: `context`, `shamir`, `mask`, `keys`; `batch`, `advertisement`, `member`, `collector`; then how it
travels: `frame`, `content`, `channel`, `seats`, `federation`, `owner`, and `secure_batch`, which joins the two.
`selection` chooses who is asked, `quantiles` makes bin edges of sums.
"""

from components.federated.batch import least_survivors
from components.federated.channel import Files
from components.federated.collector import Sum
from components.federated.content import Content
from components.federated.federation import Federation, Loss
from components.federated.owner import AggregatorLost, Owner
from components.federated.secure_batch import SecureBatch
from components.federated.violation import ProtocolViolation, TooFewMembers

__all__ = [
    "AggregatorLost",
    "Content",
    "Federation",
    "Files",
    "Loss",
    "Owner",
    "ProtocolViolation",
    "SecureBatch",
    "Sum",
    "TooFewMembers",
    "least_survivors",
]
