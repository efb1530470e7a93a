"""Private training at nearly the time of plain training, what it spends, and audits of whether that is true.

**Promise.** For data sets D, D' that differ in one unit (an utterance, or a user with all of theirs) and every set S of
models, P[M(D) in S] <= e^epsilon P[M(D') in S] + delta. Adding or removing one unit is what differs; the number of
units, the vocabulary, the labels, the choice of model and of parameters are public and outside of it.

**A step** (Abadi et al. 2016), of a plan with noise sigma_t at sampling rate q:

    B_t      each unit on its own with probability q                                       `units`
    g_n      gradient of unit n in B_t, its norm |g_n|                                     `bookkeeping`, `engines`
    s        sum_n w(|g_n|) g_n, no term longer than C                                     `clipping`
    theta    moves along (s + N(0, sigma_t^2 C^2)) / (q N)                                 `noise`, `training`

**Why it is fast.** Gradients by example are never made. One backward pass keeps inputs a and output gradients b of each
layer, and leaves weight gradients out; norms follow from (a_s . a_t)(b_s . b_t), and s is one product of weighted a and
b (Bu et al. 2022). An LSTM is written out once, so that its gates' gradients are such b too.

**What it spends** is known beforehand: `plan` finds the noise for a budget, `spent` tells epsilon by two accountants
that must agree, `ledger` adds up all trainings on a data set and refuses the one that would overspend.

**What it rests on.** Losses by example that depend on that example alone, which `verify` checks before the first step;
randomness of the operating system (`randomness`); a training that shows its models, never its losses or batches.
Norms are never rounded down (`bookkeeping.rounding`); rounding of the sum itself is outside the account (`noise`).

**Use**, as with opacus: wrap model, optimiser and data, then loop.

    plan = plan_for(epsilon=3, delta=1e-5, units=len(data), batch=512, epochs=30)
    private = PrivateTraining(model, Adam(model.parameters()), losses, units=Utterances(len(data)), plan=plan)
    for _ in plan.noise:
        for rows in private.epoch():
            private.step(rows)

Read in this order: `training`; `units`, `clipping`, `noise`; `bookkeeping.affine`; `spent`, `plan`, `ledger`; `audit`.
"""

from components.privacy.clipping import Automatic, Clipping, Flat, Quantile
from components.privacy.engines import BookKeeping, MicroBatches, OneByOne
from components.privacy.ledger import Budget, BudgetLedger
from components.privacy.opacus_engine import OpacusGradients
from components.privacy.plan import Plan, constant, falling, plan_for
from components.privacy.randomness import SecureRandomness, SeededRandomness
from components.privacy.spent import PrivacySpent, privacy_spent
from components.privacy.steps import Steps
from components.privacy.training import PrivateTraining
from components.privacy.units import Rows, Users, Utterances

__all__ = [
    "Automatic",
    "BookKeeping",
    "Budget",
    "BudgetLedger",
    "Clipping",
    "Flat",
    "MicroBatches",
    "OneByOne",
    "OpacusGradients",
    "Plan",
    "PrivacySpent",
    "PrivateTraining",
    "Quantile",
    "Rows",
    "SecureRandomness",
    "SeededRandomness",
    "Steps",
    "Users",
    "Utterances",
    "constant",
    "falling",
    "plan_for",
    "privacy_spent",
]
