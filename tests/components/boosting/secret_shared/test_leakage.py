"""What is declared stands in the documentation too, word for word."""

import re
from pathlib import Path

from components.boosting.secret_shared import LEAKAGE
from tests.components.boosting.secret_shared.consortium import DECLARED

DOCUMENTATION = Path(__file__).resolve().parents[4] / "docs" / "secret_shared.md"


def test_the_documentation_has_the_same_list():
    section = DOCUMENTATION.read_text().split("## Who sees what")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    written = [f"{who}: {what}".replace("`", "") for who, what in rows if who != "who"]
    assert written == list(LEAKAGE)


def test_whatever_is_opened_is_opened_to_somebody_on_the_list():
    assert set(DECLARED.values()) <= {sentence.partition(": ")[0] for sentence in LEAKAGE}
