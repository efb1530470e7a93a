"""What a person sees of a run: plots, and the one page that puts the verdict first."""

from components.reporting.gallery import illustrate
from components.reporting.markdown import render_verdict_markdown
from components.reporting.partition import OwnerSummary
from components.reporting.report import Report, draw, render_report
from components.reporting.style import png

__all__ = ["OwnerSummary", "Report", "draw", "illustrate", "png", "render_report", "render_verdict_markdown"]
