"""Stage `partition` of texts: a source is read, checked, divided by user, and kept where its owner keeps it.

Where asked for, every training utterance is made private by itself before anyone learns from it; the later parts are
left as they are, since models are judged on what people really say.
"""

import hashlib
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from prefect.artifacts import create_table_artifact
from prefect.context import TaskRunContext

from components.data.split import PARTS
from components.data.texts.corpus import Corpus
from components.data.texts.split import TextSplit
from components.data.texts.store import write_part
from components.errors import InvalidInput
from components.privacy.likeness import write_digests
from components.reporting import OwnerSummary
from tasks.champion import require_same_split
from tasks.language.champion import language_champion_at_start, require_same_labels
from tasks.language.inputs import HomeCommands, TextSource, budget_name, languages_of, load_texts, name_of_texts
from tasks.language.known import KINDS, digests_of, keyed
from tasks.language.privatise import Privatisation, privatised_once
from tasks.partition import OWNERS, SplitShares
from tasks.references import Run, TextPart, Texts
from tasks.settings import Settings
from tasks.stage import logger, stage
from tasks.tracking import connect, stage_run


# Never answered from a record: reading again is cheap, and restores an owner's store that was lost since.
@stage(version=2, run_name="partition {source.kind}", cached=False)
def partition_texts(
    run: Run,
    source: TextSource,
    split: SplitShares,
    privatisation: Privatisation | None,
    seed: int,
    unit: Literal["utterance", "user"] = "utterance",
) -> Texts:
    """Read, check and divide the texts; what no later stage could use is refused.

    Keyed digests of what was said and who spoke are kept beside the training part, of the texts as they came: by them a
    budget knows them again. `unit` is whom training will protect.
    """
    settings, client = connect()
    with stage_run(client, run, "partition") as here:
        champion = language_champion_at_start(client, settings, run)
        require_same_split(champion, split.as_record())
        shares = split.as_record()["shares"]
        divided = load_texts(source, salt=split.salt, shares=tuple(shares))
        require_same_labels(champion, divided.labels)
        if unit == "user":
            _require_users(divided.train)
        name = name_of_texts(source)
        is_drawn = isinstance(source, HomeCommands) and not source.name
        known = digests_of(settings, divided.train.utterances, drawn=budget_name(source) if is_drawn else "")
        done, folder = None, settings.owners / "texts"
        if privatisation:
            divided, done = privatised_once(here, folder, divided, privatisation, languages_of(source), seed=seed)
        parts = {part: _kept(settings, folder, corpus) for part, corpus in divided.parts.items()}
        for kind in KINDS:
            write_digests(digests_beside(parts["train"], kind), known[kind])
        owners = _summaries(divided)
        digest = hashlib.sha256("".join(parts[part]["digest"] for part in PARTS).encode()).hexdigest()
        here.parameters({"source": source.model_dump(mode="json"), "split": split.model_dump(), "seed": seed})
        here.dataset(name, digest, {"source": source.kind}, "partition")
        here.metrics(
            {
                "rows": sum(part["rows"] for part in parts.values()),
                **{f"split.{part}": stored["rows"] for part, stored in parts.items()},
                "intents": len(divided.labels.intents),
                "slots": len(divided.labels.slots),
            }
        )
        here.record([asdict(owner) for owner in owners], OWNERS)
        here.record(asdict(divided.labels), "labels.json")
        _show(divided)
        logger().info(
            "read %s: %s utterances to train on, %s to choose by, %s to judge by; %d intents, %d slots",
            name,
            *(f"{parts[part]['rows']:,}" for part in PARTS),
            len(divided.labels.intents),
            len(divided.labels.slots),
        )
        return Texts(
            name=name,
            digest=digest,
            parts=parts,
            labels=json.dumps(asdict(divided.labels)),
            grouping=divided.train.grouping,
            languages=list(languages_of(source)),
            budget=budget_name(source),
            split=split.as_record(),
            rows=parts["train"]["rows"],
            through=None,
            privatised=done,
        )


def digests_beside(part: TextPart, kind: str) -> Path:
    """Where the digests of a training part's texts, or users, lie."""
    return Path(part["path"]).with_suffix(f".{kind}")


def _kept(settings: Settings, folder: Path, corpus: Corpus) -> TextPart:
    """A part in its owner's folder, called and told by a keyed digest."""
    digest = keyed(settings, corpus.digest)
    path = folder / f"{digest[:16]}.jsonl"
    write_part(path, corpus)
    return TextPart(path=str(path), rows=len(corpus), digest=digest)


def _require_users(train: Corpus) -> None:
    """Refuse to promise anything to users where nobody knows whose an utterance is."""
    if nameless := sum(not utterance.user for utterance in train.utterances):
        raise InvalidInput(
            f"{nameless} of {len(train)} training utterances name no user, so no user can be protected as a whole; "
            "name one for each, or protect utterances (unit utterance)"
        )


def _summaries(divided: TextSplit) -> list[OwnerSummary]:
    """A bar for each part, which all are one owner's."""
    return [
        OwnerSummary(
            owner=part,
            rows=len(corpus),
            persons=len(set(corpus.users.tolist())),
            columns=2,
            groups={corpus.grouping: dict(sorted(Counter(one.group for one in corpus.utterances).items()))},
            holds_label=False,
        )
        for part, corpus in divided.parts.items()
    ]


def _show(divided: TextSplit) -> None:
    if TaskRunContext.get():
        levels = sorted({one.group for corpus in divided.parts.values() for one in corpus.utterances})
        create_table_artifact(
            key="texts",
            description="Utterances by part and group",
            table=[
                {"part": part, "utterances": len(corpus), "users": len(set(corpus.users.tolist()))}
                | {level: sum(one.group == level for one in corpus.utterances) for level in levels}
                for part, corpus in divided.parts.items()
            ],
        )
