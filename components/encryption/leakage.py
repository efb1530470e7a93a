"""The leakage report of one published model: attacks run against the very artifact, their success, and a bound.

Each item says in one sentence who learns what. A bound is what theory allows, or what the same attack finds under keys
drawn afresh, five standard deviations over its mean; an artifact above one was made wrongly. Fresh keys say nothing of
the scheme itself, which has a fixed bound of its own ("places by line"). Where a scheme promises nothing there is no
bound: success is measured and stands for itself.
"""

from dataclasses import asdict, dataclass

import numpy as np

from components.encryption import attacks, grid
from components.encryption import attacks_on_order as order
from components.encryption.hidden_client import HiddenClient
from components.encryption.hidden_model import HiddenModel
from components.encryption.keys import derive
from components.encryption.order_client import OrderClient
from components.encryption.order_model import OrderModel
from components.encryption.publish import Publication
from components.encryption.questions import DILUTION, cut_of

_FRESH_KEYS, _MANY_USERS, _QUERIES, _LEAVES = 40, 10, 200, 200


@dataclass(frozen=True)
class Leak:
    """One attack: `success` in [0, 1], of what `measure` says, and the `bound` it stays below, if one is promised.

    `basis`: where the bound is from, "theory" or "fresh keys"; "measured" where there is none.
    """

    name: str
    attacker: str
    measure: str
    success: float
    bound: float | None
    sentence: str
    basis: str = "theory"

    def __post_init__(self) -> None:
        if self.bound is None:
            object.__setattr__(self, "basis", "measured")

    @property
    def is_within(self) -> bool:
        return self.bound is None or self.success <= self.bound


@dataclass(frozen=True)
class LeakageReport:
    """All attacks on one artifact."""

    mode: str
    fingerprint: str
    leaks: tuple[Leak, ...]

    @property
    def within_bounds(self) -> bool:
        return all(leak.is_within for leak in self.leaks)

    def document(self) -> dict:
        """As JSON."""
        return {
            "mode": self.mode,
            "fingerprint": self.fingerprint,
            "within_bounds": self.within_bounds,
            "leaks": [asdict(leak) for leak in self.leaks],
        }


def leakage_report(
    publication: Publication, rows: np.ndarray, *, other: Publication | None = None, seed: bytes = b"report"
) -> LeakageReport:
    """Attack a publication.

    `rows` (n, F) float32 are like those that will be asked (from validation, say): they give the ranges an attacker is
    granted and the queries it sees; at most 200 are used. `other` is the same model, published for another user.
    """
    rows = np.asarray(rows, dtype=np.float32)
    rows = np.where(np.isinf(rows), np.float32(np.nan), rows)[:_QUERIES]
    model, client = publication.model, publication.client
    if isinstance(model, OrderModel):
        leaks = [*_of_thresholds(publication, client, rows, seed), *_of_queries(client, rows)]
    else:
        leaks = _of_questions(publication, model, client, rows)
    leaks += [*_of_nodes(model), *_of_versions(publication), *_of_leaves(publication)]
    leaks += _of_two_users(publication, other) if other else []
    return LeakageReport(publication.mode, client.fingerprint.hex(), tuple(leaks))


def _of_thresholds(publication: Publication, client: OrderClient, rows: np.ndarray, seed: bytes) -> list[Leak]:
    forest, columns = publication.forest, client.columns
    if np.isnan(rows).all(axis=0).any():
        rows = np.where(np.isnan(rows).all(axis=0), np.float32(0), rows)
    own = order.observe(forest, columns, rows)
    others = [order.with_fresh_keys(columns, derive(seed, "keys", str(number))) for number in range(_FRESH_KEYS)]
    users = [columns, *others[: _MANY_USERS - 1]]
    fresh = [order.observe(forest, one, rows) for one in others]
    features, values, _ = order.numeric_cuts(forest)
    cuts = len({*zip(features.tolist(), values.tolist(), strict=True)})
    ranged = [order.found_by_range([one], rows) for one in fresh]
    crowd = [own, *fresh[: _MANY_USERS - 1]]
    lined = order.line_bound(columns)
    leaks = [
        Leak(
            "places by line",
            "server that knows each feature's range or grid, and direction",
            f"share of edges named exactly or of values met within {order.CLOSE:.1%} of the range, "
            f"over the keys of {_MANY_USERS} users",
            order.met_by_line(users, rows),
            lined if lined < 1 else None,
            "Tokens bend away from a straight line, so ends that are known tell little of what lies between.",
        ),
        Leak(
            "threshold by range",
            "server that knows each feature's range and direction",
            f"share of thresholds met within {order.CLOSE:.1%} of the range",
            order.found_by_range([own], rows),
            _above(ranged, cuts),
            "Who knows the range of a feature can place its thresholds on a line, mostly wrong by a few per cent.",
            "fresh keys",
        ),
        Leak(
            f"threshold by range, {_MANY_USERS} users",
            "the same, with the artifacts of several users",
            f"share of thresholds met within {order.CLOSE:.1%} of the range",
            order.found_by_range(crowd, rows),
            None,
            "A server that holds one model for many users averages their tokens and gets closer with every user.",
        ),
    ]
    if not columns.grid.edges.shape[1]:
        return leaks
    gridded = [order.found_by_grid([one], columns) for one in fresh]
    return [
        *leaks,
        Leak(
            "cut points by grid",
            "user",
            "share of edges that are thresholds",
            cuts / max(1, int(np.count_nonzero(~np.isnan(columns.grid.edges)))),
            # A public grid may hold little else.
            1 / grid.DILUTION if publication.diluted else None,
            "The user sees the grid, in which thresholds lie unmarked among decoys or public edges.",
        ),
        Leak(
            "threshold by grid",
            "server that knows each feature's grid and direction",
            "share of thresholds named exactly",
            order.found_by_grid([own], columns),
            _above(gridded, cuts),
            "Whoever knows the grid, as every user does, guesses a threshold's place on it by its token.",
            "fresh keys",
        ),
        Leak(
            f"threshold by grid, {_MANY_USERS} users",
            "the same, with the artifacts of several users",
            "share of thresholds named exactly",
            order.found_by_grid(crowd, columns),
            None,
            "With many users' artifacts the grid gives thresholds away; let few users share a server and a grid.",
        ),
    ]


def _of_queries(client: OrderClient, rows: np.ndarray) -> list[Leak]:
    columns, half = client.columns, len(rows) // 2
    return [
        Leak(
            "order of queries",
            "server",
            "share of pairs of values whose order is seen",
            order.ordered_pairs(columns, rows),
            None,
            "The server sees how any two values of a feature compare; mode 'order' is named for it.",
        ),
        Leak(
            "values by quantiles",
            "server that knows the distribution of each feature",
            "share of values met within 1% of the range",
            order.found_by_quantiles(columns, rows[:half], rows[half:]),
            None,
            "Who sees many queries and knows how values are distributed matches quantiles; use 'hidden' against that.",
        ),
        Leak(
            "repeated values",
            "server",
            "share of numeric tokens that repeat with the value",
            order.repeated_tokens(columns, rows),
            # Of the words of the narrowest intervals a few come twice by chance.
            0.001,
            "Equal numbers do not look equal; equal categories do.",
        ),
        Leak(
            "path",
            "server",
            "share of paths seen",
            1.0,
            None,
            "The server sees which leaf of each tree a query reaches.",
        ),
    ]


def _of_questions(publication: Publication, model: HiddenModel, client: HiddenClient, rows: np.ndarray) -> list[Leak]:
    forest, cuts = publication.forest, client.questions.cuts
    if not cuts:
        return []
    asked = {cut_of(forest, node) for node in np.flatnonzero(~forest.is_leaf)}
    places = np.array([place for place, cut in enumerate(cuts) if cut in asked and not isinstance(cut[1], frozenset)])
    values = np.array([cuts[place][1] for place in places])
    query, again = (np.frombuffer(client.encrypt(rows[:1])[24:], dtype=np.uint8).reshape(-1, 64) for _ in range(2))
    bits = client.questions.bits(rows[:1])[0]
    return [
        Leak(
            "threshold by question",
            "server",
            "share of pairs of thresholds whose order is guessed",
            attacks.concordance(places.astype(float), values),
            attacks.fair(values),
            "Questions are numbered at random, so the server sees no threshold and no order of thresholds.",
        ),
        Leak(
            "bits of a query",
            "server",
            "share of pairs of a 0 and a 1 told apart",
            attacks.concordance(query[:, 32].astype(float), bits.astype(float)),
            attacks.fair(bits),
            "Answers to questions are ElGamal ciphertexts under a key that the server does not have.",
        ),
        Leak(
            "repeated queries",
            "server",
            "share of ciphertexts that repeat with the query",
            float((query == again).all(axis=1).mean()),
            0.0,
            "The same row asked twice looks like two rows; neither path nor order nor repetition is seen.",
        ),
        Leak(
            "cut points by questions",
            "user",
            "share of questions that are cuts of the model",
            len(asked) / len(cuts),
            # Of a few categories there may be no other sets; a public grid may have no other edges.
            1 / DILUTION if publication.diluted and not any(isinstance(cut[1], frozenset) for cut in cuts) else None,
            f"The user sees every question; with decoys enough one in {DILUTION} is a cut, in no known place.",
        ),
    ]


def _of_nodes(model: OrderModel | HiddenModel) -> list[Leak]:
    """What trees show without a query: where nodes ask the same, and how often a column is asked."""
    used, equal = attacks.nodes_alike(model)
    return [
        Leak(
            "equal cuts",
            "server",
            "share of inner nodes seen to make the same cut as another",
            equal,
            None,
            "The server sees which nodes make the same cut, not which cut that is.",
        ),
        Leak(
            "use of columns",
            "server",
            "share of inner nodes whose column is seen",
            used,
            None,
            "In mode 'order' the server counts the nodes of each column, and so which nameless columns matter most.",
        ),
    ]


def _of_versions(publication: Publication) -> list[Leak]:
    """What a user learns who has the bundle of an earlier champion too."""
    if not (publication.diluted and publication.former):
        return []
    fresh = true = 0
    for name, edges, needed in zip(
        publication.forest.features, publication.grid.edges, grid.thresholds(publication.forest), strict=True
    ):
        new = np.setdiff1d(edges, np.asarray(publication.former.get(name, ()), dtype=np.float32))
        fresh, true = fresh + len(new), true + int(np.isin(needed, new).sum())
    return [
        Leak(
            "cut points by versions",
            "user who kept the bundle of an earlier champion",
            "share of edges that are new in the grid and thresholds",
            true / max(1, fresh),
            1 / grid.DILUTION,
            "Grids only grow, by as many decoys for each new threshold; what is gone from the model stays in its grid.",
        )
    ]


def _of_leaves(publication: Publication) -> list[Leak]:
    forest, model = publication.forest, publication.model
    read = attacks.leaf_values(model, publication.client, _LEAVES)
    true = np.sort(forest.value[forest.is_leaf])
    nearest = true[np.searchsorted((true[:-1] + true[1:]) / 2, read)]
    return [
        Leak(
            "leaf size",
            "server",
            "share of pairs of leaves whose order by size is guessed",
            attacks.concordance(attacks.leaf_numbers(model, len(read)), np.abs(nearest)),
            attacks.fair(np.abs(nearest)),
            "A leaf's ciphertext has the same length and form whatever the leaf.",
        ),
        Leak(
            "collusion",
            "user and server together",
            "share of leaves read",
            float(np.mean(np.abs(read - nearest) <= 1e-5)),
            None,
            "A user who colludes with the server gets the model, in both modes; no personalised scheme prevents it.",
        ),
    ]


def _of_two_users(publication: Publication, other: Publication) -> list[Leak]:
    return [
        Leak(
            "link by content",
            "server",
            "share of pseudonyms, tokens and ciphertexts that two users' artifacts share",
            attacks.shared_words(publication.model, other.model),
            0.0,
            "Nothing that is written in one user's artifact appears in another's.",
        ),
        Leak(
            "link by shape",
            "server",
            "share of trees with a counterpart of the same shape",
            attacks.same_shapes(publication.model, other.model),
            None,
            "Trees keep their shapes, by which the server sees that two users have the same model.",
        ),
    ]


def _above(successes: list[float], of: int) -> float | None:
    """What chance keys stay below, of `of` things that may be found; of few, chance says more than few draws show.

    None where chance may find all of them, as it may few; "places by line" holds there too.
    """
    mean, spread = float(np.mean(successes)), float(np.std(successes, ddof=1))
    chance = np.sqrt(max(mean * (1 - mean), 1 / of) / of) if of else 0.0
    bound = mean + 5 * max(spread, float(chance))
    return bound if bound < 1 else None
