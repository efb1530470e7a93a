"""Who was in the training data: a pool of members and strangers, references trained on halves of it, three attacks.

The pool's members are utterances the candidate learnt from, its strangers are of users it never heard; where users are
protected, both are users with all they said. Each reference is trained on the same utterances less the pool's, and on a
random half of the pool; so for every unit some references know it and some do not, as LiRA and RMIA ask. Only
utterances that occur once in all parts are attacked: of a sentence that others said too, a model knows by copies.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from components.data.texts.corpus import Corpus
from components.language.audits.likelihood import losses_of
from components.language.encode import Encoded
from components.language.model import LanguageModel
from components.privacy.audit import Roc, by_likelihood_ratio, by_loss, by_population, log_odds, roc


@dataclass(frozen=True)
class Side:
    """Units of one part, as many as are in the pool: `rows` (k,) that are attacked, `unit` (k,) the number of each.

    `every` (K,) and `unit_of_every` (K,) are all rows of these units, attacked or not, which come and go with them.
    `users` (units,) is whose each unit is.
    """

    rows: np.ndarray
    unit: np.ndarray
    every: np.ndarray
    unit_of_every: np.ndarray
    users: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    def means(self, values: np.ndarray) -> np.ndarray:
        """(..., k) values of rows to (..., units): their means."""
        order = np.argsort(self.unit, kind="stable")
        starts = np.searchsorted(self.unit[order], np.arange(len(self)))
        return np.add.reduceat(values[..., order], starts, axis=-1) / np.bincount(self.unit)


@dataclass(frozen=True)
class Pool:
    """Units of the training part and as many of another part, that an attacker is to tell apart.

    `halves` (R, 2 units) bool: which of both, members first, reference r is trained on. `population` are rows of a
    third part that no model was trained on and whose text stands nowhere else.
    """

    members: Side
    strangers: Side
    halves: np.ndarray
    population: np.ndarray

    def corpus(self, reference: int, train: Corpus, other: Corpus) -> Corpus:
        """What a reference is trained on."""
        inside = np.split(self.halves[reference], 2)
        kept = np.setdiff1d(np.arange(len(train)), self.members.every)
        known, heard = (
            side.every[chosen[side.unit_of_every]]
            for side, chosen in zip((self.members, self.strangers), inside, strict=True)
        )
        return Corpus(
            (*train.take(kept).utterances, *train.take(known).utterances, *other.take(heard).utterances),
            train.grouping,
        )


def pool_of(
    train: Corpus, other: Corpus, third: Corpus, *, whole_users: bool, references: int, most: int, seed: int
) -> Pool:
    """As many members of `train` as strangers of `other`, up to `most` of each; both may be none.

    Every unit is known to half of the references, or as near to half as an odd number allows.
    """
    rng = np.random.default_rng(seed)
    texts = [[_plain(one.text) for one in corpus.utterances] for corpus in (train, other, third)]
    often = Counter(text for part in texts for text in part)
    once = [np.flatnonzero([often[text] == 1 for text in part]) for part in texts]
    units = [corpus.users if whole_users else np.arange(len(corpus)) for corpus in (train, other)]
    eligible = [np.unique(names[rows]) for names, rows in zip(units, once[:2], strict=True)]
    size = min(most, *map(len, eligible))
    sides = [
        _side(corpus, names, rows, rng.choice(possible, size=size, replace=False))
        for corpus, names, rows, possible in zip((train, other), units, once[:2], eligible, strict=True)
    ]
    ranks = rng.random((references, 2 * size)).argsort(axis=0)
    extra = rng.random(2 * size) < 0.5 if references % 2 else np.zeros(2 * size, dtype=bool)
    return Pool(*sides, ranks < references // 2 + extra, once[2])


def attacks(
    target: LanguageModel,
    references: list[LanguageModel],
    pool: Pool,
    train: Encoded,
    other: Encoded,
    population: Encoded,
) -> dict[str, Roc]:
    """The ROC of each attack on `target`, by units; those that need references only where there are any.

    A unit's score is the mean of its utterances'. Of a pool without a unit nothing is found.
    """
    if not len(pool.members):
        return {}

    def of_pool(model: LanguageModel) -> np.ndarray:
        return np.concatenate(
            [losses_of(model, train)[pool.members.rows], losses_of(model, other)[pool.strangers.rows]]
        )

    def judged(scores: np.ndarray) -> Roc:
        both = np.split(scores, [len(pool.members.rows)])
        means = [side.means(part) for side, part in zip((pool.members, pool.strangers), both, strict=True)]
        users = np.concatenate([pool.members.users, pool.strangers.users])
        return roc(np.concatenate(means), np.repeat([True, False], len(pool.members)), users=users)

    losses = of_pool(target)
    found = {"loss": judged(by_loss(losses))}
    if not references:
        return found
    theirs = np.stack([of_pool(model) for model in references])
    unit = np.concatenate([pool.members.unit, len(pool.members) + pool.strangers.unit])
    halves = pool.halves[:, unit]
    odds = log_odds(np.exp(-losses)), log_odds(np.exp(-theirs))
    found["LiRA"] = judged(by_likelihood_ratio(*odds, halves))
    # RMIA compares with models that do not know an utterance; with one reference half of the pool has none.
    if len(pool.population) and not halves.all(axis=0).any():
        strangers = population.take(pool.population)
        found["RMIA"] = judged(
            by_population(
                np.exp(-losses),
                np.exp(-theirs),
                halves,
                np.exp(-losses_of(target, strangers)),
                np.exp(-np.stack([losses_of(model, strangers) for model in references])),
            )
        )
    return found


def _side(corpus: Corpus, names: np.ndarray, once: np.ndarray, chosen: np.ndarray) -> Side:
    """The units named `chosen` of a part, whose rows have `names` (n,); of them `once` may be attacked."""
    chosen = np.sort(chosen)
    every = np.flatnonzero(np.isin(names, chosen))
    rows = np.intersect1d(every, once)
    number = np.searchsorted(chosen, names)
    first = np.zeros(len(chosen), dtype=np.int64)
    first[number[every]] = every
    return Side(rows, number[rows], every, number[every], corpus.users[first])


def _plain(text: str) -> str:
    """A text as others would count it the same."""
    return " ".join(text.casefold().split())
