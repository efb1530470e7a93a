"""The privacy section of a report: what is promised, to whom, by which account, what it leaves out, what attacks found.

The claim of one training and the lower bounds of audits stand on one axis, since a bound right of the claim refutes it;
a tick is the most that an audit could have shown. Attacks are drawn on logarithmic axes: what matters is what they find
at very few false alarms (Carlini et al. 2022).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log10

import numpy as np
from matplotlib.figure import Figure

from components.gates.statistics import mean_exposure
from components.reporting import style
from components.reporting.numbers import count, quantity

UNSEEN_BITS = 1.44
_CONFIDENCE = 0.975  # on either side


@dataclass(frozen=True)
class PrivacySection:
    """What a report says of privacy. `claim` is epsilon at `delta` for one `unit`, None where nothing is promised.

    `data_set_spent` of `data_set_budget` is what all trainings on the data set spent together. `audit` is what attacks
    achieved, as the audit stage records it; empty where there was none. `tradeoff` are points of utility at epsilons
    of text privatisation. `costs` are processor seconds of training and of the audit, where both were measured.
    """

    claim: float | None
    delta: float
    unit: str
    accountant: str
    data_set: str = ""
    data_set_spent: float | None = None
    data_set_budget: float | None = None
    outside: tuple[str, ...] = ()
    privatised: str = ""
    audit: Mapping = field(default_factory=dict)
    tradeoff: Sequence[Mapping] = ()
    costs: tuple[float, float] | None = None

    @property
    def promise(self) -> str:
        """The claim in a sentence."""
        if self.claim is None:
            return "Nothing is promised: training was plain, or depends on a model that was trained plainly."
        return (
            f"Whether any one {self.unit} was in the training data changes the probability of any outcome by a factor "
            f"of at most e^{self.claim:.3g}, but for a probability of {self.delta:g}: epsilon {self.claim:.3g} at "
            f"delta {self.delta:g}."
        )

    @property
    def cost(self) -> str:
        """What the attacks took, in a sentence; empty where it is not known."""
        if self.costs is None or not self.costs[0] > 0:
            return ""
        training, audit = self.costs
        return (
            f"Attacks took {quantity(audit)} s of processor time, {quantity(audit / training)} times the "
            f"{quantity(training)} s of training."
        )

    @property
    def achieved(self) -> dict[str, str]:
        """Attack → what it achieved."""
        audit = self.audit
        could_show, trained_as = audit.get("could_show", {}), audit.get("trained_as", "")
        rows = {}
        if trained_as:
            rows["Whose figures"] = (
                f"membership is of {audit['attacked']}; all else of models trained as {trained_as} is"
            )
        for name, value in audit.get("lower_bounds", {}).items():
            most = f", of at most {could_show[name]:.3g} that it could have shown" if name in could_show else ""
            rows[f"Epsilon at least, {name}"] = f"{value:.3g}{most}"
        if audit.get("training_claim") is not None:
            rows["Epsilon claimed of one training"] = (
                f"{audit['training_claim']:.3g}, which the bounds above are held to"
            )
        if audit.get("sampling") is not None:
            rows["Sampling"] = f"p-value {audit['sampling']:.2g} under Poisson sampling"
        if why := audit.get("membership_left_out"):
            rows["Membership"] = why
        for name, one in audit.get("attacks", {}).items():
            auc = one["auc"]
            shares = " and ".join(
                f"{100 * value:.2g} % ({100 * low:.2g} to {100 * high:.2g}) of members at {100 * float(rate):g} % "
                "false alarms"
                for rate, (value, low, high) in sorted(one["at"].items(), reverse=True)
            )
            rows[f"Membership, {name}"] = f"names {shares}, AUC {auc[0]:.3f} ({auc[1]:.3f} to {auc[2]:.3f})"
        for times, bits in audit.get("exposures", {}).items():
            name = f"planted {times} time{'' if times == '1' else 's'}" if times != "0" else "never planted"
            mean, low, high = mean_exposure(bits, _CONFIDENCE)
            rows[f"Secrets {name}"] = (
                f"{mean:.2f} bits of exposure on average ({low:.2f} to {high:.2f}); {UNSEEN_BITS} if never seen"
            )
        if found := audit.get("extraction"):
            rows["Extraction from the weights"] = (
                f"the preferred code is one planted {found['planted']} times"
                if found["planted"]
                else f"no planted code; {found['digits_right']} of {audit['digits']} digits of the nearest"
            )
        return rows


def plot_attacks(attacks: Mapping[str, Mapping]) -> Figure:
    """True against false positive rate of every attack, both logarithmic, with the line of a coin."""
    figure = style.canvas(height=4.2)
    axes = style.tidy(figure.add_subplot())
    style.axis_names(axes, x="false positive rate", y="true positive rate")
    low = 1e-3
    axes.plot([low, 1], [low, 1], color=style.MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    for (name, one), colour in zip(attacks.items(), style.LEVELS, strict=False):
        x, y = np.maximum(one["false_positive"], low / 2), np.maximum(one["true_positive"], low / 2)
        axes.step(x, y, where="post", color=colour, linewidth=1.7, label=f"{name}, AUC {one['auc'][0]:.3f}")
    axes.set(xscale="log", yscale="log", xlim=(low, 1), ylim=(low, 1), aspect="equal")
    style.as_percent(axes)
    style.key(axes, corner="lower right")
    said = "; ".join(f"{name} {100 * one['at']['0.01'][0]:.2g} %" for name, one in attacks.items())
    return style.describe(figure, f"Membership attacks, members named at 1 % false alarms: {said}.")


def plot_exposure(exposures: Mapping[str, Sequence[float]], *, digits: int) -> Figure:
    """Bits of every secret by how often it was planted, their means, and what secrets never seen show."""
    figure = style.canvas(height=3.4)
    axes = style.tidy(figure.add_subplot(), grid="y")
    style.axis_names(axes, x="times planted", y="exposure, bits")
    axes.axhline(UNSEEN_BITS, color=style.MUTED, linewidth=1, linestyle=(0, (4, 2)))
    axes.annotate(
        "never seen",
        (1, UNSEEN_BITS),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=style.MUTED,
    )
    for place, bits in enumerate(exposures.values()):
        spread = np.linspace(-0.12, 0.12, len(bits)) if len(bits) > 1 else np.zeros(1)
        axes.plot(place + spread, bits, "o", color=style.CANDIDATE, alpha=0.45, markersize=5, clip_on=False)
        axes.hlines(np.mean(bits), place - 0.22, place + 0.22, color=style.CANDIDATE, linewidth=2.2)
    axes.set_xticks(range(len(exposures)), [count(int(times)) for times in exposures])
    axes.set(xlim=(-0.5, len(exposures) - 0.5), ylim=(0, digits * log10(10) / log10(2)))
    said = "; ".join(f"{times} times {np.mean(bits):.2f} bits" for times, bits in exposures.items())
    return style.describe(figure, f"Exposure of planted secrets: {said}.")


def plot_claim(
    claim: float | None, lower_bounds: Mapping[str, float], could_show: Mapping[str, float] | None = None
) -> Figure:
    """The epsilon claimed of one training as a stroke, what each audit shows at least, and could have shown at most."""
    could_show = could_show or {}
    names = list(lower_bounds)
    figure = style.canvas(height=1.1 + 0.45 * len(names))
    axes = style.tidy(figure.add_subplot(), grid="x")
    style.axis_names(axes, x="epsilon")
    style.name_rows(axes, names)
    for height, value in enumerate(lower_bounds.values()):
        refuted = claim is not None and value > claim
        colour = style.BAD if refuted else style.CANDIDATE
        axes.plot([0, value], [height, height], color=colour, linewidth=6, solid_capstyle="butt")
        if most := could_show.get(names[height]):
            axes.plot(most, height, "|", color=style.MUTED, markersize=12, markeredgewidth=1.5)
        style.write(axes, value, height - 0.32, f"at least {value:.3g}", ha="right", fontsize=8.5)
    if claim is not None:
        axes.axvline(claim, color=style.INK, linewidth=1.5)
        axes.annotate(
            f"claimed {claim:.3g}",
            (claim, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            fontsize=9,
            color=style.INK,
        )
    axes.set_xlim(0, 1.08 * max([claim or 0, *lower_bounds.values(), *could_show.values(), 0.1]))
    said = "; ".join(
        f"{name} {value:.3g}" + (f" of {could_show[name]:.3g} that could be shown" if name in could_show else "")
        for name, value in lower_bounds.items()
    )
    return style.describe(figure, f"Epsilon claimed: {claim}; at least: {said}.")


def plot_tradeoff(points: Sequence[Mapping]) -> Figure:
    """What a model learns from texts made private, and how much of them is left, by epsilon; the last is unchanged."""
    figure = style.canvas(height=3.4)
    axes = style.tidy(figure.add_subplot())
    style.axis_names(axes, x="epsilon of text privatisation", y="share")
    places = np.arange(len(points))
    lines = {
        "intent accuracy": ("intent_accuracy", style.CANDIDATE),
        "slot F1": ("slot_f1", style.GOOD),
        "words kept": ("words_kept", style.MUTED),
        "utterances kept": ("utterances_kept", style.BAD),
    }
    ends = [points[-1][key] for key, _ in lines.values()]
    for (name, (key, colour)), height in zip(lines.items(), style.spread(ends, 0.09), strict=True):
        axes.plot(places, [point[key] for point in points], "o-", color=colour, linewidth=1.8, markersize=4.5)
        axes.annotate(name, (1.02, height), xycoords=("axes fraction", "data"), va="center", fontsize=9, color=colour)
    names = ["as they are" if point["epsilon"] is None else f"{point['epsilon']:g}" for point in points]
    axes.set_xticks(places, names)
    axes.set_ylim(-0.02, 1.05)
    style.as_percent(axes, "y")
    said = "; ".join(
        f"{name}: intents {100 * p['intent_accuracy']:.0f} %" for name, p in zip(names, points, strict=True)
    )
    return style.describe(figure, f"Utility of texts made private, by epsilon: {said}.")


def privacy_figures(section: PrivacySection) -> dict[str, Figure]:
    """Every plot the section's contents allow, by name."""
    audit, figures = section.audit, {}
    if audit.get("lower_bounds"):
        claim = audit.get("training_claim", section.claim)
        figures["claim"] = plot_claim(claim, audit["lower_bounds"], audit.get("could_show"))
    if audit.get("attacks"):
        figures["attacks"] = plot_attacks(audit["attacks"])
    if audit.get("exposures"):
        figures["exposure"] = plot_exposure(audit["exposures"], digits=audit["digits"])
    if section.tradeoff:
        figures["tradeoff"] = plot_tradeoff(section.tradeoff)
    return figures
