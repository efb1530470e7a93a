"""What stages hand on: addresses, digests and small numbers, as JSON.

Typed dictionaries rather than classes, because a stage that is answered from its record gets exactly what was stored.
Nothing here holds a row, a model or a secret.
"""

from typing import NotRequired, TypedDict


class Run(TypedDict):
    """The flow's MLflow run, for registered model `model`; `champion` is the version it began with, or None."""

    run_id: str
    experiment_id: str
    name: str
    model: str
    champion: str | None


class Holding(TypedDict):
    """One owner's part of the data, where the owner keeps it; no path where that is another machine."""

    owner: str
    path: str
    rows: int
    columns: list[str]
    digest: str
    octets: NotRequired[str]


class Data(TypedDict):
    """A partitioned table: who holds what, what it means, how persons are split, the newest time.

    `schema` is JSON text, since the order of its features is the order of the model's. `parties` is the parties.yaml of
    owners who are on machines of their own; `crowd` the plan and seed by which one store stands for very many owners.
    """

    name: str
    digest: str
    schema: str
    holdings: list[Holding]
    missing_rows: str
    split: dict
    rows: int
    through: float | None
    parties: NotRequired[str]
    crowd: NotRequired[dict]


class TextPart(TypedDict):
    """One part of a corpus, where its owner keeps it."""

    path: str
    rows: int
    digest: str


class Texts(TypedDict):
    """A divided corpus: its parts, its labels (JSON), what its group is called, and whose budget pays for it.

    `privatised` says what was done to every training utterance before anyone learnt from it, None for nothing.
    """

    name: str
    digest: str
    parts: dict[str, TextPart]
    labels: str
    grouping: str
    languages: list[str]
    budget: str
    split: dict
    rows: int
    through: float | None
    privatised: dict | None


class Stored(TypedDict):
    """A file in a stage's artifacts, and the SHA-256 it must have when it is read back."""

    run_id: str
    path: str
    digest: str


class Trained(TypedDict):
    """Candidates by name, and the retrain with another seed that shows the noise floor.

    `shares`: where owners hold shares, each candidate as a sum of [key of a shared model, weight].
    """

    run_id: str
    mode: str
    candidates: dict[str, Stored]
    settings: dict[str, dict]
    noise: Stored | None
    shares: dict[str, list]
    record: dict


class Evaluated(TypedDict):
    """The chosen candidate, and predictions of `candidate` and, where there were any, `champion` and golden rows.

    `levels` are those of each group that have gate rows, and had when the champion was judged. `champion_error` is of
    the selection rows; `majority` is the best constant answer on the training rows, of texts on
    the selection ones.
    """

    run_id: str
    mode: str
    chosen: str
    model: Stored
    scores: list[dict]
    predictions: dict[str, Stored]
    context: dict[str, float]
    majority: float
    champion_error: float | None
    through: float | None
    champion_through: float | None
    levels: dict[str, list[str]]
    champion_levels: dict[str, list[str]]


class Audited(TypedDict):
    """What attacks achieved, and where the record of it lies."""

    run_id: str
    record: Stored


class Judged(TypedDict):
    """The verdict's record and where it lies."""

    run_id: str
    verdict: Stored
    decision: str
    reasons: list[str]
    policy: str
    policy_digest: str


class Registered(TypedDict):
    """The candidate's version in the registry, and the digests of what the gate saw of it."""

    model: str
    version: str
    model_digest: str
    schema_digest: str
    data_digest: str


class Promoted(TypedDict):
    """What became of a version of `model`; `champion` is champion now, `replaced` was, `sequence` the ledger's entry.

    `because` is the verdict's first reason, beside which there are `others`; `why` what else there is to say (a stale
    candidate, a person's words), `figures` the verdict's context: error_new, error_old, nfr and others.
    """

    model: str
    decision: str
    action: str
    version: str
    champion: str | None
    replaced: str | None
    sequence: int
    because: str
    others: int
    why: str
    figures: dict[str, float]


class Publication(TypedDict):
    """A user's live version of an encrypted model."""

    user: str
    name: str
    version: str
    epoch: int


class Rechecked(TypedDict):
    """What a champion's check on fresh rows found."""

    model: str
    version: str
    decision: str
    reasons: list[str]
    rows: int
