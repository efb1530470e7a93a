"""Stage `train` of texts: candidates for the champion's place, privately, each within its share of what was paid.

`retrain` learns from the texts alone; `distilled` is pulled to the champion where it was right (positive-congruent
training), which spends on the data again; `interpolated` walks from the champion's weights to the retrained ones and
spends nothing. Steps are counted as they are taken, and held against what the ledger reserved.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from components.compatibility.distillation import DistillationParameters
from components.compatibility.networks import focal_pull, interpolate
from components.errors import InvalidInput
from components.language.answer import answer, metrics_of
from components.language.frozen import FrozenModel
from components.language.learn import learn
from components.language.loss import Losses, congruent_losses, joint_losses, outputs_of
from components.language.model import LanguageModel
from components.language.protection import PrivacyParameters
from components.privacy import Budget
from components.privacy.likeness import read_digests
from tasks.language.budget import note_told, pay
from tasks.language.champion import LanguageChampion, language_champion_at_start
from tasks.language.claim import ALONE, TOGETHER, claim_of
from tasks.language.course import Course, Recipe, course_of, trained_like, trainings_of
from tasks.language.evidence import keep_language_model
from tasks.language.holdings import labels_of, part_of, read_by
from tasks.language.known import KINDS
from tasks.language.partition import digests_beside
from tasks.progress import reporter
from tasks.references import Run, Texts, Trained
from tasks.settings import Settings, load_settings
from tasks.stage import logger, stage
from tasks.tracking import Stage, connect, stage_run

NOISE_FLOOR = "other_seed"
OUTSIDE = (
    "how many there are: training utterances, users and their groups, on which noise and sampling rest",
    "the vocabulary, the model and its parameters; if any was chosen after a look at these texts, or at what an audit "
    "or a curve said of them, that choice tells of them",
    "selection and gate users: curves, scores, error and flip rates, by group too, and the choice among candidates are "
    "read from their texts, and nothing is promised to them",
    "earlier runs on this data set, and that they were refused, where their models entered no choice: the claim is of "
    "this run's trainings and a champion's, and what all runs spent together stands in the data set's ledger",
    "audits: what attacks achieved is read from the private texts themselves",
    "rounding in single precision: as clipped gradients are added up (their norms are never rounded down), and in the "
    "last bits of a frozen encoder's features, which depend on what else was read with a text",
)
"""What no epsilon of ours covers."""
POINTS = (
    "what is left to learn after privatisation: its points are of plain models, one of them on the texts as they were"
)


@dataclass
class Meter:
    """Private steps that were taken, of those that were reserved."""

    reserved: int
    taken: int = 0

    def add(self, steps: int) -> None:
        """Count `steps` more.

        Raises
        ------
        RuntimeError
            They were not paid for: a fault of this program, whose models must not be kept.
        """
        self.taken += steps
        if self.taken > self.reserved:
            raise RuntimeError(f"{self.taken} private steps were taken and {self.reserved} reserved; no model is kept")


@stage(version=3, run_name="train {recipe.mode}")
def train_language(run: Run, texts: Texts, recipe: Recipe, budget: float) -> Trained:
    """Pay for all trainings together, train every candidate, and keep each as files of the stage's run."""
    settings, client = connect()
    with stage_run(client, run, "train") as here:
        champion = language_champion_at_start(client, settings, run)
        private, privacy = recipe.mode == "private", recipe.privacy
        here.parameters(recipe.model_dump(exclude=set() if private else {"privacy"}))
        here.dataset(texts["name"], texts["digest"], {"source": texts["name"], "part": "train"}, "training")
        course = course_of(recipe, texts, champion)
        if course.candidates.distilled:
            _require_distillable(course, champion)
        if course.left_out:
            logger().info("%s", course.left_out)
        # Other texts, such as another draw of a privatisation, are another training.
        folder = _kept_at(settings, here.run_id) / texts["digest"][:16]
        if private:
            here.parameters({"budget": budget})
        ledger, entry = pay(
            client,
            settings,
            here,
            texts["budget"],
            Budget(budget, privacy.delta, privacy.unit) if private else None,
            course.protection.plan if private else None,
            trainings=trainings_of(course.candidates, champion),
            folder=folder,
            known={kind: read_digests(digests_beside(texts["parts"]["train"], kind)) for kind in KINDS},
        )
        meter = Meter(sum(one.count for one in entry.steps))
        claim = claim_of(course.steps, privacy, chosen=course.is_choice)
        kept, described = {}, {}
        for name, made, said in _candidates(here, course, folder, texts, champion, recipe.seed, meter):
            kept[name] = keep_language_model(here, made, f"candidates/{name}")
            described[name] = said
            logger().info("trained %s", name)
        logger().info("%s", _told(claim, privacy))
        noise = kept.pop(NOISE_FLOOR, None)
        claims = dict.fromkeys(kept, claim)
        outside = [*OUTSIDE, *([] if labels_of(texts).public else ["the label set, read off the training texts"])]
        outside += [POINTS] if texts["privatised"] else []
        outside += [_plainly(ledger.plain)] if ledger.plain else []
        record = {
            "mode": recipe.mode,
            "rows": texts["rows"],
            "unit": privacy.unit,
            "delta": privacy.delta,
            "accountant": TOGETHER if course.is_choice else ALONE,
            "claims": claims,
            "training_claim": claim_of(course.protection.plan.steps, privacy, chosen=False) if private else None,
            "left_out": course.left_out,
            "steps": {
                "reserved": meter.reserved,
                "taken": meter.taken,
                "claimed": None if course.steps is None else [[s.noise, s.rate, s.count] for s in course.steps],
            },
            "data_set": texts["budget"],
            "data_set_budget": budget if private else None,
            "data_set_spent": ledger.spent if private else None,
            "privatised": texts["privatised"],
            "data_set_plain": ledger.plain,
            "outside": outside,
            "declared_leakage": [],
            "parameters": recipe.model_dump(mode="json"),
            "costs": {},
        }
        if private:
            here.metrics({f"epsilon.{name}": claim for name, claim in claims.items()})
            here.metrics({"epsilon.data_set": record["data_set_spent"]})
        here.record(record, "training_record.json")
        return Trained(
            run_id=here.run_id,
            mode=recipe.mode,
            candidates=kept,
            settings=described,
            noise=noise,
            shares={},
            record=record,
        )


def clear_training(trained: Trained) -> None:
    """Delete what a training kept to go on by, once nothing will: weights and moments, not what was paid and told."""
    settings = load_settings()
    for path in _kept_at(settings, trained["run_id"]).glob("*/*/"):
        shutil.rmtree(path)


def _kept_at(settings: Settings, run_id: str) -> Path:
    return settings.owners / "training" / run_id


def _candidates(
    here: Stage,
    course: Course,
    folder: Path,
    texts: Texts,
    champion: LanguageChampion | None,
    seed: int,
    meter: Meter,
) -> Iterator[tuple[str, LanguageModel, dict]]:
    """(name, model, settings) of every candidate; settings name the champion where one was seen."""
    plan = course.candidates
    selection = part_of(texts, "selection")
    read = read_by(course.model, selection)

    def measured(epoch: int) -> None:
        # Written down at once: a training that goes on elsewhere does not know what was measured before.
        found = metrics_of(answer(retrain, selection, encoded=read), selection)
        here.curve("selection.intent_accuracy", {epoch: found.intent_accuracy})
        here.curve("selection.slot_f1", {epoch: found.slot_f1})

    retrain = trained_like(course.model)
    _train(course, retrain, folder / "retrain", meter, seed=seed, measured=measured)
    yield "retrain", retrain, {}
    if champion is None:
        return
    for number, pull in enumerate(plan.distilled, start=1):
        name = f"distilled_{number}" if len(plan.distilled) > 1 else "distilled"
        made = trained_like(course.model)
        _train(course, made, folder / name, meter, seed=seed, losses=_pulled(course, champion, pull))
        yield name, made, pull.model_dump() | {"champion": champion.version}
    for share in plan.interpolated:
        between = trained_like(retrain)
        weights = interpolate(champion.model.trainable, retrain.trainable, share)
        between.network.load_state_dict(weights, strict=False)
        yield f"interpolated_{share:g}", between, {"share": share, "champion": champion.version}
    if plan.noise_floor:
        other = trained_like(course.model, seed=seed + 1)
        _train(course, other, folder / NOISE_FLOOR, meter, seed=seed + 1)
        yield NOISE_FLOOR, other, {}


def _train(
    course: Course,
    model: LanguageModel,
    folder: Path,
    meter: Meter,
    *,
    seed: int,
    losses: Losses = joint_losses,
    measured=None,
) -> None:
    progress = reporter("training")
    epochs = course.parameters.epochs

    def told(epoch: int) -> None:
        note_told(folder)
        if measured:
            measured(epoch)
        progress(epoch, epochs, f"{folder.name}, epoch {epoch} of {epochs}")

    learnt = learn(
        model,
        course.encoded,
        course.parameters,
        course.protection,
        seed=seed,
        losses=losses,
        folder=folder,
        on_epoch=told,
    )
    if course.protection:
        meter.add(learnt.steps)


def _pulled(course: Course, champion: LanguageChampion, pull: DistillationParameters) -> Losses:
    """Losses with the champion's answers, which are read by its own eyes."""
    outputs = outputs_of(champion.model.network)
    right = torch.zeros(len(course.encoded), dtype=torch.bool)
    with torch.no_grad():
        for rows in course.encoded.by_length(256):
            batch = course.encoded.batch(rows)
            right[rows] = outputs(batch)[0].argmax(dim=1) == batch.intents
    return congruent_losses(outputs, right, lambda new, before, kept: focal_pull(new, before, kept, pull))


def _require_distillable(course: Course, champion: LanguageChampion | None) -> None:
    """Refuse, before anything is paid, a champion whose answers cannot be read off what the new model reads."""
    if champion is None:
        return
    old, new = champion.model, course.model
    by_features = isinstance(old.network, FrozenModel) or isinstance(new.network, FrozenModel)
    if old.parameters != new.parameters if by_features else old.vocabulary != new.vocabulary:
        raise InvalidInput(
            f"champion version {champion.version} reads texts otherwise than the new model, so it cannot be distilled; "
            "leave `distilled` out, or take a model of its kind"
        )


def _plainly(trainings: int) -> str:
    many = "1 plain training was" if trainings == 1 else f"{trainings} plain trainings were"
    return f"{many} done on this data set, and no budget bounds what their models and figures give away"


def _told(claim: float | None, privacy: PrivacyParameters) -> str:
    if claim is None:
        return "nothing is promised of the model that is chosen"
    return f"the model that is chosen claims epsilon {claim:.3g} at delta {privacy.delta:g} for one {privacy.unit}"
