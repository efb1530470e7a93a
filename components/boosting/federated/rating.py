"""What members of a federated run do to judge a model: each owner scores its own rows, the analyst has the scores."""

import json
import os
import threading
from pathlib import Path

from components.boosting.federated.programs import files_of, holding_of
from components.boosting.federated.scores import ScoresOfOwner, collect_scores
from components.data.schema import Schema
from components.federated import Federation, Owner
from components.mpc.programs import Task, program
from components.parties.file import Parties
from components.partition import read_holding
from components.secret_file import create_once

MODELS = "models.json"
"""In the analyst's folder: the models to judge, JSON texts."""


@program
def rate(parties: Parties, task: Task) -> dict:
    """Score held-out rows, one a person, under every model of the analyst, who receives all of it.

    Agreement: `schema`, `split`. Private, of every owner: `holding`, and the path of `pseudonym_key`. In the analyst's
    folder lies `MODELS`; its arrays are named by owner's number and array, its document has owners and levels.
    """
    owner = _rated_owner(parties, task)
    if task.name != parties.analyst:
        owner.take_part()
        return {}
    models = json.loads((task.folder / MODELS).read_text())
    with Federation(
        task.name,
        parties.member(task.name).listens_at,
        files_of(parties, task.name),
        tuple(parties.names),
        agreement=owner.agreement,
        timeout=parties.timeout,
        role="analyst",
    ) as federation:
        # The analyst is an owner like any other, who happens to dial itself.
        threading.Thread(target=owner.take_part, daemon=True).start()
        federation.gather(parties.gather, least=len(parties.names))
        groups = Schema.model_validate_json(task.agreement["schema"]).groups
        found = collect_scores(federation, models, groups)
    arrays = {
        f"{number}:{name}": array for number, one in enumerate(found.values()) for name, array in one.arrays.items()
    }
    return {"owners": list(found), "levels": [dict(one.levels) for one in found.values()], **arrays}


def _rated_owner(parties: Parties, task: Task) -> Owner:
    """This owner's end of `rate`; what the analyst and all owners must have alike is the deal, so that it is judged."""
    schema, private = Schema.model_validate_json(task.agreement["schema"]), json.loads(task.private.read_text())
    split, key = task.agreement["split"], Path(private["pseudonym_key"])
    create_once(key, os.urandom(32))
    rows = ScoresOfOwner(
        read_holding(holding_of(task), schema),
        salt=split["salt"],
        shares=tuple(split["shares"]),
        pseudonym_key=key.read_bytes(),
    )
    return Owner(
        task.name,
        files_of(parties, task.name),
        parties.member(parties.analyst).place,
        parties.analyst,
        tuple(parties.names),
        agreement={"schema": task.agreement["schema"], "split": split, "purpose": "rate"},
        answers=rows.answers,
        timeout=parties.timeout,
        gather=parties.gather,
        role="analyst",
    )
