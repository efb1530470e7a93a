"""What each plot of the report is called, the sentence that says how to read it, and the section it stands in."""

from dataclasses import dataclass
from typing import Literal

Section = Literal["checks", "update", "groups", "privacy", "scores", "training", "owners"]


@dataclass(frozen=True)
class Caption:
    title: str
    text: str
    section: Section


CAPTIONS = {
    "checks": Caption(
        "Checks against their budgets",
        "A line that ends left of its upright stroke has kept its budget, one that begins right of it has broken it, "
        "and one that crosses it needs more rows. Where a row says 'not shown above', crossing is enough to keep it.",
        "checks",
    ),
    "flips": Caption(
        "Who was right before, who is right now",
        "Negative flips, top right, are the people an update lets down; the noise floor is how many a mere change of "
        "seed would let down.",
        "update",
    ),
    "candidates": Caption(
        "Candidates",
        "Lower is more often right, further left breaks less of what worked; measured on selection rows, which the "
        "gate does not see.",
        "update",
    ),
    "group_error": Caption(
        "Error by group",
        "A dot is a group's rate and its line the 95 % interval; faint groups have under 50 rows, and intersections "
        "follow with the most certainly bad first.",
        "groups",
    ),
    "group_roc": Caption(
        "Ranking within groups",
        "Each curve ranks the rows of one level among themselves; the nearer the upper left the better; "
        "AUC 0.5 is a coin.",
        "groups",
    ),
    "group_calibration": Caption(
        "Calibration within groups",
        "A line above the diagonal means the model promises that group too little, below it too much; upright lines "
        "are 95 % intervals.",
        "groups",
    ),
    "group_residuals": Caption(
        "Residuals by group",
        "Dot: median of predicted − actual; thick line: middle half; thin line: middle 90 %. A group off zero is "
        "served with a bias.",
        "groups",
    ),
    "claim": Caption(
        "The claim and what audits show",
        "An audit shows epsilon to be at least as long as its bar; one that passes the stroke would refute the claim, "
        "and short bars prove nothing.",
        "privacy",
    ),
    "attacks": Caption(
        "Membership attacks",
        "How many members an attack names, at how many false alarms; on the dotted line it guesses. The lower left "
        "matters most: whoever names a few without mistakes harms them.",
        "privacy",
    ),
    "exposure": Caption(
        "Secrets planted in a twin",
        "Bits by which a secret stands out among all it might have been, a dot each, a line for the mean; the dashed "
        "line is a secret never seen.",
        "privacy",
    ),
    "tradeoff": Caption(
        "Texts made private before training",
        "What a small model learns from them, judged on real texts, and how much of them came through unchanged.",
        "privacy",
    ),
    "scores": Caption(
        "Ranking and calibration",
        "Left, how well positives are ranked above negatives; right, whether a score of 30 % means 30 in 100 "
        "(dots hold equally many rows, lines are 95 % intervals).",
        "scores",
    ),
    "calibration": Caption(
        "Calibration",
        "Among rows whose top class got a probability near p, a share p should be right; dots hold equally many rows, "
        "lines are 95 % intervals.",
        "scores",
    ),
    "confusion": Caption(
        "What is mistaken for what",
        "Each row is a true class and sums to 100; off the diagonal lie the mistakes.",
        "scores",
    ),
    "predicted_actual": Caption(
        "Predicted against actual",
        "Dots within the grey band are within the tolerance and count as right.",
        "scores",
    ),
    "learning": Caption(
        "Learning curve",
        "Where the selection line stops falling, more rounds only learn the training rows by heart.",
        "training",
    ),
    "rounds": Caption(
        "Round by round",
        "Who took part, and what the aggregator received and sent for it; a cross is an owner lost in the middle.",
        "training",
    ),
    "partition": Caption(
        "Who holds what",
        "Bars are rows, dots the label with its 95 % interval; tinted cells differ from the share over all owners.",
        "owners",
    ),
    "blocks": Caption(
        "Who holds which block",
        "The whole rectangle is the joint table; each owner sees only the rows and columns of its own block.",
        "owners",
    ),
}
