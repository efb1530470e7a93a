"""The verdict as a short Markdown table, for the artifact that the Prefect UI shows beside a flow run."""

from components.reporting import numbers
from components.reporting.checks import worst_first
from components.reporting.report import MEANING, Report, check_figures, key_figures, safe_link, tally

ROWS_SHOWN, REASONS_SHOWN = 30, 10


def render_verdict_markdown(report: Report) -> str:
    """Decision, reasons, key figures, the worst checks (30 at most) and links; names in it cannot become markup."""
    verdict = report.verdict
    checks = worst_first(verdict.checks)
    reasons = [f"- {_text(reason)}" for reason in verdict.reasons[:REASONS_SHOWN]]
    if left := len(verdict.reasons) - len(reasons):
        reasons.append(f"- and {left} more reasons in the report")
    parts = [
        f"# {verdict.decision}: {_text(report.title)}",
        f"{MEANING[verdict.decision]} ({tally(verdict)})",
        "\n".join(reasons),
        _table(["Figure", "Value", ""], [[tile.name, tile.figure, tile.beside] for tile in key_figures(report)]),
    ]
    if checks:
        header = ["Check", "Of", "Outcome", "Value", "Interval", "Budget", "Rows"]
        rows = []
        for check in checks[:ROWS_SHOWN]:
            rows.append(
                [
                    check.name.replace("_", " "),
                    check.subject,
                    str(check.outcome),
                    *check_figures(check),
                    numbers.count(check.rows),
                ]
            )
        parts.append(_table(header, rows))
    if left := len(checks) - ROWS_SHOWN:
        parts += [f"{left} more checks, none of a worse outcome, in the report."] if left > 0 else []
    if links := [_link(name, address) for name, address in report.links.items()]:
        parts.append(" · ".join(links))
    return "\n\n".join(parts) + "\n"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *([_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _link(name: str, address: str) -> str:
    if not safe_link(address):
        return f"{_text(name)}: {_text(address)}"
    return f"[{_text(name)}](<{address.translate({ord('<'): '%3C', ord('>'): '%3E', 10: '', 13: ''})}>)"


def _text(text: str) -> str:
    """One line in which nothing is Markdown or HTML."""
    return "".join(
        f"\\{letter}" if letter in r"\`*_[]|#~$" else {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(letter, letter)
        for letter in " ".join(str(text).split())
    )
