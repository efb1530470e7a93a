"""One page that says what became of a candidate and why, complete in a single file that asks nothing of any network.

The verdict comes first, then what it rests on, and what nobody measured is said as plainly as what somebody did. The
page carries a content security policy that forbids every request, so it can be mailed, archived and opened anywhere.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from matplotlib.figure import Figure

from components.compatibility.flips import FlipCounts
from components.fairness.group_error import GroupMetric
from components.gates.choice import CandidateScore
from components.gates.verdict import Check, Decision, Outcome, Verdict
from components.reporting import numbers
from components.reporting.captions import CAPTIONS, Section
from components.reporting.checks import SEVERITY, worst_first
from components.reporting.partition import OwnerSummary
from components.reporting.privacy import PrivacySection
from components.reporting.style import png

MEANING = {
    Decision.PROMOTE: "The candidate kept every promise of the policy. It may become the champion.",
    Decision.HOLD: "These rows cannot settle every check. Nothing is replaced until a person or more rows decide.",
    Decision.REJECT: "The candidate breaks a promise of the policy. It replaces nothing.",
}
REASONS_SHOWN = 6


@dataclass(frozen=True)
class Report:
    """Everything a report says; what is left empty is left out, or said to be missing where that matters.

    `error` and `flips` are of the `rows` the gate judged, `nfr_upper` the bound it decided by; `candidates`, `chosen`
    and `selection_champion_error` are of the selection rows, which are others. `policy` is YAML text. `links` name
    pages or files of the run; `figures` are keyed as in `captions.CAPTIONS`, other keys become their own title.
    """

    title: str
    made_at: str
    mode: str
    rows: int
    verdict: Verdict
    error: float
    owners: Sequence[OwnerSummary] = ()
    owners_are: Literal["owners", "parts"] = "owners"
    flips: FlipCounts | None = None
    noise_floor: float | None = None
    nfr_budget: float | None = None
    nfr_upper: float | None = None
    candidates: Sequence[CandidateScore] = ()
    chosen: str = ""
    selection_champion_error: float | None = None
    groups: Sequence[GroupMetric] = ()
    champion_groups: Sequence[GroupMetric] = ()
    group_metric: str = "error"
    training: Mapping[str, object] = field(default_factory=dict)
    leakage: tuple[str, ...] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)
    policy: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    not_measured: tuple[str, ...] = ()
    privacy: PrivacySection | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class Tile:
    """One key figure: what it is, the figure, and what to hold it against."""

    name: str
    figure: str
    beside: str = ""


def render_report(report: Report, pictures: Mapping[str, bytes] | None = None) -> str:
    """The report as one HTML page: images inside, no script, no request, every text of the run escaped.

    `pictures` are the report's figures as PNG, by name, where they have been drawn already.
    """
    if pictures is None:
        pictures = draw(report)
    checks = worst_first(report.verdict.checks)
    return (
        _template()
        .render(
            report=report,
            meaning=MEANING[report.verdict.decision],
            tally=tally(report.verdict),
            reasons=report.verdict.reasons,
            reasons_shown=REASONS_SHOWN,
            tiles=key_figures(report),
            open_checks=[check for check in checks if check.outcome is not Outcome.PASS],
            passed_checks=[check for check in checks if check.outcome is Outcome.PASS],
            champion_groups={metric.group: metric for metric in report.champion_groups},
            plots=_plots(report.figures, pictures),
        )
        .lstrip()
    )


def key_figures(report: Report) -> list[Tile]:
    """The figures everyone asks for first, with a dash for each that was not measured."""
    flips, percent = report.flips, numbers.percent
    tiles = [Tile("Error", percent(report.error), f"champion {percent(flips.error_old)}" if flips else "no champion")]
    if flips:
        budget = f"budget {numbers.limit(report.nfr_budget)}" if report.nfr_budget is not None else "no budget set"
        tiles += [
            Tile("Negative flips", percent(flips.negative_flip_rate), budget),
            Tile(
                "Positive flips", percent(flips.positive_flip_rate), f"{numbers.count(flips.positive)} rows put right"
            ),
            Tile("Churn", percent(report.verdict.context.get("churn")), "decisions that changed"),
            Tile(
                "Relative NFR",
                f"{flips.relative_nfr:.2f}" if flips.relative_nfr == flips.relative_nfr else numbers.ABSENT,
                "1: like independent models",
            ),
        ]
    if (frames := report.verdict.context.get("frames.error_new")) is not None:
        before = report.verdict.context.get("frames.error_old")
        tiles.append(Tile("Whole frames wrong", percent(frames), f"champion {percent(before)}" if flips else ""))
    tiles.append(Tile("Noise floor", percent(report.noise_floor), "NFR from the seed alone"))
    tiles.append(Tile("Rows judged", numbers.count(report.rows), "never trained on"))
    if report.privacy:
        epsilon = numbers.ABSENT if report.privacy.claim is None else f"{report.privacy.claim:.3g}"
        tiles.append(Tile("Epsilon", epsilon, f"one {report.privacy.unit}, delta {report.privacy.delta:g}"))
    if report.owners_are == "owners":
        tiles.append(Tile("Owners", numbers.count(len(report.owners) or None), f"mode {report.mode.replace('_', ' ')}"))
    return tiles


def tally(verdict: Verdict) -> str:
    """'1 failed, 6 inconclusive, 33 passed'."""
    words = {Outcome.FAIL: "failed", Outcome.INCONCLUSIVE: "inconclusive", Outcome.PASS: "passed"}
    found = {outcome: sum(check.outcome is outcome for check in verdict.checks) for outcome in SEVERITY}
    return ", ".join(f"{n} {words[outcome]}" for outcome, n in found.items() if n) or "no check was made"


def check_figures(check: Check) -> tuple[str, str, str]:
    """A check's value, interval and budget as they are written everywhere."""
    rate = numbers.is_rate(check.value, check.lower, check.upper, check.budget)
    return (
        numbers.measured(check.value, rate=rate),
        numbers.interval(check.lower, check.upper, rate=rate),
        numbers.limit(check.budget) if rate else numbers.quantity(check.budget),
    )


def _reason(check: Check) -> str:
    """The reason without the subject it opens with, which stands right above it."""
    return check.reason.removeprefix(f"{check.subject}: ")


def safe_link(address: str) -> bool:
    """Whether an address may become a link; a `javascript:` one, or a plain path, is shown as text instead."""
    return urlsplit(address).scheme in {"http", "https"}


def draw(report: Report) -> dict[str, bytes]:
    """The report's figures as PNG, by name; drawing is what a report costs, so it is done once."""
    return {name: png(figure) for name, figure in report.figures.items()}


def _plots(figures: Mapping[str, Figure], pictures: Mapping[str, bytes]) -> dict[str, list[dict[str, object]]]:
    """Section → what the template shows of each figure."""
    sections: dict[str, list[dict[str, object]]] = {section: [] for section in (*get_args(Section), "further")}
    for name, figure in figures.items():
        caption = CAPTIONS.get(name)
        shown = {
            "title": caption.title if caption else name,
            "caption": caption.text if caption else "",
            "alt": figure.get_label() or name,
            "width": round(100 * figure.get_figwidth()),
            "height": round(100 * figure.get_figheight()),
            "data": b64encode(pictures[name]).decode(),
        }
        sections[caption.section if caption else "further"].append(shown)
    return sections


def _plain(value: object) -> str:
    """A parameter as text: numbers with thin spaces, lists with commas, nothing as a dash."""
    match value:
        case None:
            return numbers.ABSENT
        case bool() | str():
            return str(value)
        case int():
            return numbers.count(value)
        case float():
            return numbers.quantity(value)
        case Mapping():
            return ", ".join(f"{key}: {_plain(part)}" for key, part in value.items()) or numbers.ABSENT
        case Sequence():
            return ", ".join(_plain(part) for part in value) or numbers.ABSENT
    return str(value)


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": numbers.percent,
        "count": numbers.count,
        "plain": _plain,
        "check_figures": check_figures,
        "reason": _reason,
    }
    environment.tests["link"] = safe_link
    environment.globals["interval"] = numbers.interval
    return environment.get_template("report.html.j2")
