"""What a report says of audits: whose figures they are, and what they could have shown."""

from components.reporting.privacy import PrivacySection, plot_claim, privacy_figures

AUDIT = {
    "training_claim": 8.0,
    "attacked": "distilled",
    "trained_as": "retrain",
    "lower_bounds": {"one step": 6.9, "one run": 0.4},
    "could_show": {"one run": 3.5},
    "attacks": {},
    "exposures": {"1": [1.0, 2.0]},
    "digits": 3,
}


def section(**changes) -> PrivacySection:
    return PrivacySection(claim=11.6, delta=1e-5, unit="utterance", accountant="PRV", audit=AUDIT | changes)


def test_bounds_stand_beside_what_they_could_have_shown_and_what_they_are_held_to():
    said = section().achieved
    assert "3.5" in said["Epsilon at least, one run"]
    assert said["Epsilon at least, one step"] == "6.9"
    assert said["Epsilon claimed of one training"].startswith("8")
    assert "distilled" in said["Whose figures"]
    assert "retrain" in said["Whose figures"]


def test_the_plot_has_the_claim_of_one_training_and_room_for_what_could_be_shown():
    figures = privacy_figures(section())
    assert set(figures) == {"claim", "exposure"}
    assert any("claimed 8" in text.get_text() for text in figures["claim"].axes[0].texts)
    wide = plot_claim(1.0, {"one run": 0.2}, {"one run": 5.0}).axes[0]
    assert wide.get_xlim()[1] > 5


def test_a_report_of_plain_training_says_nothing_of_bounds():
    said = section(training_claim=None, lower_bounds={}, could_show={}).achieved
    assert not any(name.startswith("Epsilon") for name in said)


def test_what_attacks_took_is_held_against_training():
    cost = PrivacySection(None, 1e-5, "user", "PRV", costs=(40.0, 90.0)).cost
    assert "90 s" in cost
    assert "2.25 times the 40 s" in cost
    assert section().cost == PrivacySection(None, 1e-5, "user", "PRV", costs=(0.0, 1.0)).cost == ""
