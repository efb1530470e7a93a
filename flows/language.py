"""The pipeline for texts: partition → train privately → evaluate → audit → gate → register → promote → report."""

from typing import Annotated, Literal

from prefect import flow
from pydantic import Field

from components.language.learn import LearningParameters
from components.language.model import FrozenParameters, ModelParameters
from components.language.protection import PrivacyParameters
from tasks.approval import ask_a_person
from tasks.gate import gate
from tasks.inputs import request_with
from tasks.language.audit import AuditParameters, audit_language
from tasks.language.course import LanguagePlan, Mode, Recipe
from tasks.language.evaluate import evaluate_language
from tasks.language.inputs import LARGEST_SEED, HomeCommands, TextSource, name_of_texts, require_names, text_fingerprint
from tasks.language.partition import partition_texts
from tasks.language.policy import require_judgeable_texts
from tasks.language.privatise import Privatisation
from tasks.language.register import register_language
from tasks.language.train import clear_training, train_language
from tasks.partition import SplitShares
from tasks.pipeline import pipeline_run
from tasks.policies import load_policy
from tasks.promote import override, promote
from tasks.references import Promoted
from tasks.report import finished_outcome, report
from tasks.settings import load_settings


@flow(name="language", flow_run_name="language {data.kind} {mode}", persist_result=True, result_serializer="json")
def language(
    data: TextSource = HomeCommands(),
    mode: Annotated[Mode, Field(description="private keeps to epsilon; plain promises nothing, for comparison.")] = (
        "private"
    ),
    network: Annotated[ModelParameters, Field(description="Which model, of what size.")] = FrozenParameters(),
    learning: LearningParameters = LearningParameters(),
    privacy: PrivacyParameters = PrivacyParameters(),
    budget: Annotated[
        float,
        Field(
            gt=0,
            le=1000,
            description="Epsilon that all runs on this data set may spend together; the first run sets it for good.",
        ),
    ] = 40.0,
    privatisation: Annotated[
        Privatisation | None, Field(description="Make training texts private one by one first; empty: leave them.")
    ] = None,
    candidates: LanguagePlan = LanguagePlan(),
    audits: AuditParameters = AuditParameters(),
    policy: Annotated[str, Field(description="A name in deploy/policies, or a path.")] = "language",
    split: SplitShares = SplitShares(),
    seed: Annotated[
        int, Field(ge=0, le=LARGEST_SEED, description="Seed of weights, canaries and pools; never of noise or masks.")
    ] = 0,
    model: Annotated[str | None, Field(description="Registered model; empty: named after the texts.")] = None,
    finished: Annotated[
        Literal["again", "skip"],
        Field(description="What was asked and finished before: do it again, and pay again, or answer from it."),
    ] = "again",
    on_hold: Annotated[
        Literal["leave", "ask"], Field(description="On HOLD: leave it, or ask a person here.")
    ] = "leave",
    hold_hours: Annotated[float, Field(gt=0, description="How long to wait for that person.")] = 24.0,
) -> Promoted:
    """Train a language model within its epsilon, attack it, and let it into production if it keeps every promise."""
    rules = load_policy(policy)
    require_judgeable_texts(rules, mode, privacy.epsilon)
    model = model or load_settings().model_name("language", name_of_texts(data))
    require_names(data, model)
    recipe = Recipe(
        mode=mode,
        model=network,
        learning=learning,
        privacy=privacy,
        candidates=candidates,
        seed=seed,
        limit=rules.privacy.epsilon if rules.privacy else None,
    )
    request = request_with(
        text_fingerprint(data, load_settings()),
        data=data,
        model=model,
        recipe=recipe,
        budget=budget,
        privatisation=privatisation,
        audits=audits,
        policy=rules,
        split=split,
    )
    if finished == "skip" and (before := finished_outcome("language", request)):
        return before
    with pipeline_run(
        "language", name=f"language {model} {mode}", model=model, request=request, resume="always"
    ) as run:
        texts = partition_texts(
            run, data, split, privatisation, seed, privacy.unit if mode == "private" else "utterance"
        )
        trained = train_language(run, texts, recipe, budget)
        evaluated = evaluate_language(run, texts, trained, rules.choice)
        audited = audit_language(run, texts, trained, evaluated, recipe, audits)
        judged = gate(run, evaluated, rules, audited)
        registered = register_language(run, texts, trained, evaluated, judged)
        outcome = promote(run, registered, judged)
        if outcome["action"] == "hold" and on_hold == "ask":
            answer = ask_a_person(run, registered, judged, hours=hold_hours)
            outcome = override(run, registered, judged, answer) if answer else outcome
        report(run, texts, trained, evaluated, judged, registered, outcome, audited)
    clear_training(trained)
    return outcome
