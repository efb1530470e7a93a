"""What is promised of a run's model: the epsilon of all its run trained, and a champion before it, to choose it by.

The winner of a choice depends on the losers too, so its claim is of all trainings that entered, and of the champion's
where that entered: by distillation, by interpolation, or by the flips that were counted against it. Renyi divergences
add these up, which holds for trainings chosen in the light of earlier ones; of a training alone PRV says less.
That earlier runs were refused, and that this one was therefore started, is not in it: whoever tries until a model
passes spends what the data set's ledger adds up, which its budget bounds.
"""

from collections.abc import Sequence

from components.language.protection import PrivacyParameters
from components.privacy import Plan, Steps, privacy_spent
from components.privacy.renyi import renyi_epsilon
from components.privacy.steps import merged
from tasks.language.champion import LanguageChampion

ALONE = "PRV, checked by PLD"
TOGETHER = "Rényi divergences over all trainings that entered the choice, the champion's with them"


def steps_of_choice(plan: Plan, trainings: int, champion: LanguageChampion, unit: str) -> tuple[Steps, ...] | None:
    """What the winner among `trainings` trainings and a champion depends on; None where that promises nothing."""
    inherited = champion.steps_for(unit)
    if inherited is None:
        return None
    return merged([*(Steps(one.noise, one.rate, one.count * trainings) for one in plan.steps), *inherited])


def claim_of(steps: Sequence[Steps] | None, privacy: PrivacyParameters, *, chosen: bool) -> float | None:
    """Epsilon of `steps`, of several trainings where the model was `chosen`; None where nothing is promised."""
    if steps is None:
        return None
    if chosen:
        return renyi_epsilon(steps, privacy.delta)
    return privacy_spent(steps, delta=privacy.delta, unit=privacy.unit).epsilon
