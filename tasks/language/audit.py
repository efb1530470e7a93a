"""Stage `audit`: the pipeline attacks its own model before it believes what is promised of it.

Four questions. Has a step the noise it claims? Was sampling what the account supposes? Do secrets that were planted in
a twin come out again? Can members be told from strangers, with references trained on halves of a pool? Twin and
references are trained as `retrain` is, whichever candidate was chosen, and thrown away: membership is of the chosen
candidate, everything else of such a training, and the record says so. The figures are for those who may see the data.
"""

import json
from dataclasses import replace
from typing import Annotated, Self

import numpy as np
import torch
from prefect.artifacts import create_markdown_artifact
from prefect.context import TaskRunContext
from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.data.texts.corpus import Corpus
from components.language.audits.canaries import (
    PinCodes,
    coin_bound,
    coin_canaries,
    exposures,
    extraction,
    pin_codes,
    with_canaries,
)
from components.language.audits.membership import attacks, pool_of
from components.language.learn import learn
from components.language.loss import joint_losses
from components.language.model import LanguageModel
from components.language.protection import PrivacyParameters, units_of
from components.privacy import SecureRandomness
from components.privacy.audit import Roc, Watched, audit_step, poisson_p_value
from tasks.evidence import keep
from tasks.language.champion import language_champion_at_start
from tasks.language.course import Course, Recipe, course_of, trained_like
from tasks.language.evidence import stored_language_model
from tasks.language.holdings import part_of, read_by
from tasks.progress import reporter
from tasks.references import Audited, Evaluated, Run, Texts, Trained
from tasks.stage import logger, stage
from tasks.tracking import connect, stage_run

AUDIT = "audit.json"
CONFIDENCE = 0.999
"""Of lower bounds: a claim that holds is called false once in a thousand audits."""
ONE_STEP, ONE_RUN = "one step", "one run"
"""Audits that bound epsilon from below, as policies name them."""
_POINTS = 200
_MOST_SAID = 8
"""Utterances of a user who is a canary; fewer where fewer count in a step."""

_MADE_PRIVATE = "not attacked: training texts were made private first, which alone tells them from strangers' words"


class AuditParameters(BaseModel):
    """How hard the model is attacked; each reference and the twin cost as much as the candidate's training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    references: int = Field(2, ge=0, le=64, description="Models that membership attacks compare with; 0: loss alone.")
    pool: int = Field(
        2_000, ge=20, le=1_000_000, description="Most members, and strangers, that are told apart; users of unit user."
    )
    secrets: int = Field(20, ge=1, le=100, description="Pin codes planted for each number of repeats.")
    repeats: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = Field(
        (1, 10), min_length=1, description="How often a secret is planted; as many more are never planted."
    )
    digits: int = Field(3, ge=1, le=5, description="Digits of a pin code.")
    coins: int = Field(400, ge=20, le=100_000, description="Canaries that a coin puts in, for a bound in one run.")
    steps: int = Field(400, ge=50, le=100_000, description="Times the step is taken to measure its noise.")

    @model_validator(mode="after")
    def _codes_suffice(self) -> Self:
        if len(set(self.repeats)) != len(self.repeats):
            raise ValueError(f"'repeats' is {list(self.repeats)}; list each number of repeats once")
        needed, possible = self.secrets * (1 + len(self.repeats)), 10**self.digits
        if needed > possible:
            raise ValueError(
                f"{self.secrets} secrets for each number of repeats and as many never planted are {needed} codes, and "
                f"{self.digits} digits make {possible}; take more digits or fewer secrets"
            )
        return self


@stage(version=2, run_name="audit")
def audit_language(
    run: Run,
    texts: Texts,
    trained: Trained,
    evaluated: Evaluated,
    recipe: Recipe,
    parameters: AuditParameters,
) -> Audited:
    """Attack the chosen candidate and what stands for its training, and keep what came out."""
    settings, client = connect()
    with stage_run(client, run, "audit") as here:
        champion = language_champion_at_start(client, settings, run)
        course, privacy = course_of(recipe, texts, champion), recipe.privacy
        candidate = stored_language_model(client, evaluated["model"])
        told_before = trained["record"]
        record: dict = {
            "claim": told_before["claims"][evaluated["chosen"]],
            "training_claim": told_before["training_claim"],
            "steps": {name: told_before["steps"][name] for name in ("reserved", "taken")},
            "delta": privacy.delta,
            "unit": privacy.unit,
            "attacked": evaluated["chosen"],
            "trained_as": "retrain",
            "lower_bounds": {},
            "could_show": {},
            "sizes": {},
            "sampling": None,
        }
        if course.protection:
            record |= _step(course, privacy, parameters)
        record |= _twin(course, texts, privacy, parameters, record, recipe.seed)
        record |= _membership(course, texts, privacy, candidate, parameters, recipe.seed)
        here.parameters(parameters.model_dump())
        here.metrics(_figures(record))
        kept = keep(here, json.dumps(record).encode(), AUDIT)
        logger().info("%s", told(record))
        if TaskRunContext.get():
            create_markdown_artifact(key="audit", markdown=_markdown(record), description="What attacks achieved")
        return Audited(run_id=here.run_id, record=kept)


def told(record: dict) -> str:
    """What an audit found, in a sentence."""
    least = max(record["lower_bounds"].values(), default=None)
    rates = [one["at"]["0.01"][0] for one in record["attacks"].values()]
    bits = {times: float(np.mean(found)) for times, found in record["exposures"].items()}
    parts = [
        f"the best attack names {100 * max(rates):.2g} % of members at 1 % false alarms"
        if rates
        else record.get("membership_left_out", "there was nobody to tell from strangers"),
        "secrets stand out by " + ", ".join(f"{value:.1f} bits planted {times} times" for times, value in bits.items()),
    ]
    if least is not None:
        parts.insert(0, f"epsilon is {least:.2f} at least, {record['training_claim']:.2f} is claimed of one training")
    return "; ".join(parts)


def _step(course: Course, privacy: PrivacyParameters, parameters: AuditParameters) -> dict:
    """What the noise of steps says of the whole plan; a user is audited with as many utterances as count."""
    plan = course.protection.plan

    def losses(network, rows) -> torch.Tensor:
        batch = course.encoded.batch(rows.numpy())
        return joint_losses(network(batch.inputs, batch.mask), batch)

    said = min(_MOST_SAID, privacy.utterances_a_user) if privacy.unit == "user" else 1
    found = audit_step(
        trained_like(course.model).network,
        losses,
        np.argsort(-course.encoded.lengths, kind="stable")[:said],
        plan=plan,
        clipping=course.protection.clipping,
        engine=course.protection.engine,
        count=parameters.steps,
        confidence=CONFIDENCE,
    )
    return {
        "step": {"claimed": found.claimed, "measured": list(vars(found.measured).values()), "where": found.where},
        "lower_bounds": {ONE_STEP: found.epsilon(plan, steps=len(plan.noise) * plan.steps_an_epoch)},
        "sizes": {"steps": parameters.steps},
    }


def _twin(
    course: Course,
    texts: Texts,
    privacy: PrivacyParameters,
    parameters: AuditParameters,
    record: dict,
    seed: int,
) -> dict:
    """Exposure, extraction, one-run bound and sampling, from a twin with canaries among its texts."""
    labels = course.model.labels
    pins = pin_codes(
        labels, repeats=(0, *parameters.repeats), each=parameters.secrets, digits=parameters.digits, seed=seed
    )
    each = min(_MOST_SAID, privacy.utterances_a_user) if privacy.unit == "user" else 1
    coins = coin_canaries(labels, parameters.coins, SecureRandomness(), seed=seed + 1, each=each)
    corpus = with_canaries(part_of(texts, "train"), pins, coins)
    twin, watched = _trained(course, corpus, privacy, "a twin with canaries", seed=seed, watch=True)
    found = exposures(twin, pins)
    bounds, most, sizes = (dict(record[key]) for key in ("lower_bounds", "could_show", "sizes"))
    if course.protection:
        bound = coin_bound(twin, coins, delta=privacy.delta, confidence=CONFIDENCE)
        bounds[ONE_RUN], most[ONE_RUN] = bound.least, bound.most
        sizes |= {"coins": parameters.coins, "guesses": bound.guesses}
    return {
        "lower_bounds": bounds,
        "could_show": most,
        "sizes": sizes,
        "sampling": poisson_p_value(watched.in_step, watched.of_unit, course.protection.plan.rate) if watched else None,
        "exposures": {
            str(times): found[np.array(pins.repeats) == times].tolist() for times in (0, *parameters.repeats)
        },
        "digits": parameters.digits,
        "extraction": _extracted(twin, pins, seed=seed),
    }


def _extracted(twin: LanguageModel, pins: PinCodes, *, seed: int) -> dict | None:
    """Whether the code that the weights prefer is one of the planted; which code it is stays here."""
    found = extraction(twin, pins, seed=seed)
    if found is None:
        return None
    planted = {code: times for code, times in zip(pins.codes, pins.repeats, strict=True) if times}
    return {"planted": planted.get(found.words, 0), "digits_right": max(_alike(found.words, code) for code in planted)}


def _membership(
    course: Course,
    texts: Texts,
    privacy: PrivacyParameters,
    candidate: LanguageModel,
    parameters: AuditParameters,
    seed: int,
) -> dict:
    """ROCs of attacks on the candidate; strangers are of the gate part, the population of the selection part.

    None where what was learnt from are not texts as they are said: anybody could tell those from strangers' words.
    """
    if texts["privatised"]:
        return {"members": 0, "attacks": {}, "membership_left_out": _MADE_PRIVATE}
    train, gate, selection = (part_of(texts, part) for part in ("train", "gate", "selection"))
    pool = pool_of(
        train,
        gate,
        selection,
        whole_users=privacy.unit == "user",
        references=parameters.references,
        most=parameters.pool,
        seed=seed + 2,
    )
    references = []
    for number in range(parameters.references if len(pool.members) else 0):
        corpus = pool.corpus(number, train, gate)
        what = f"reference {number + 1} of {parameters.references}"
        references.append(_trained(course, corpus, privacy, what, seed=seed + 3 + number)[0])
    read = [read_by(candidate, corpus) for corpus in (train, gate, selection)]
    found = attacks(candidate, references, pool, *read)
    return {"members": len(pool.members), "attacks": {name: _roc(one) for name, one in found.items()}}


def _trained(
    course: Course, corpus: Corpus, privacy: PrivacyParameters, what: str, *, seed: int, watch: bool = False
) -> tuple[LanguageModel, Watched | None]:
    """A model by the same course on other texts, and who was sampled where that is watched."""
    model, protection, watched = trained_like(course.model), course.protection, None
    encoded = read_by(model, corpus)
    progress = reporter("audit")
    epochs = course.parameters.epochs
    if protection:
        units = units_of(privacy, corpus)
        if watch:
            names = corpus.users if privacy.unit == "user" else np.arange(len(corpus))
            units = watched = Watched(units, np.unique(names, return_inverse=True)[1])
        engine = protection.engine
        if hasattr(engine, "lengths"):
            engine = replace(engine, lengths=encoded.lengths)
        protection = replace(protection, units=units, engine=engine)
    learn(
        model,
        encoded,
        course.parameters,
        protection,
        seed=seed,
        on_epoch=lambda epoch: progress(epoch, epochs, f"{what}, epoch {epoch} of {epochs}"),
    )
    return model, watched


def _roc(found: Roc) -> dict:
    """Figures, and no more points of the curve than a plot can show."""
    kept = np.unique(np.geomspace(1, len(found.false_positive), _POINTS).astype(int)) - 1
    return {
        "auc": list(vars(found.area()).values()),
        "at": {str(rate): list(vars(found.true_positive_at(rate)).values()) for rate in (0.001, 0.01)},
        "false_positive": found.false_positive[kept].tolist(),
        "true_positive": found.true_positive[kept].tolist(),
    }


def _alike(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return sum(a == b for a, b in zip(one, other, strict=True))


def _figures(record: dict) -> dict[str, float]:
    figures = {f"epsilon_at_least.{audit}": value for audit, value in record["lower_bounds"].items()}
    figures |= {f"epsilon_at_most_shown.{audit}": value for audit, value in record["could_show"].items()}
    for name, one in record["attacks"].items():
        figures |= {f"membership.{name}.auc": one["auc"][0]}
        figures |= {f"membership.{name}.tpr_at_{rate}": rates[0] for rate, rates in one["at"].items()}
    figures |= {f"exposure.planted_{times}": float(np.mean(bits)) for times, bits in record["exposures"].items()}
    return figures | ({} if record["sampling"] is None else {"sampling.p_value": record["sampling"]})


def _markdown(record: dict) -> str:
    rows = [
        f"| {audit} | epsilon ≥ {value:.3g}{_at_most(record['could_show'].get(audit))} |"
        for audit, value in record["lower_bounds"].items()
    ]
    rows += [
        f"| {name} | {100 * one['at']['0.01'][0]:.2g} % of members at 1 % false alarms, "
        f"{100 * one['at']['0.001'][0]:.2g} % at 0.1 %, AUC {one['auc'][0]:.3f} |"
        for name, one in record["attacks"].items()
    ]
    rows += [
        f"| secrets planted {times} times | {np.mean(bits):.2f} bits of exposure |"
        for times, bits in record["exposures"].items()
    ]
    claim = "nothing is claimed" if record["claim"] is None else f"epsilon {record['claim']:.3g} is claimed"
    whose = f"membership is of {record['attacked']}, the rest of models trained as {record['trained_as']}"
    return "\n".join([f"**{claim}**; {whose}", "", "| attack | achieved |", "|---|---|", *rows])


def _at_most(could_show: float | None) -> str:
    return "" if could_show is None else f" (of {could_show:.3g} that it could have shown)"
