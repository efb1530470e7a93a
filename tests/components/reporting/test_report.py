"""The page is complete, says everything, escapes everything, and asks no network for anything."""

import re
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from components.data.table import GroupColumn
from components.fairness.group_error import group_metrics
from components.gates.choice import CandidateScore
from components.gates.verdict import Outcome, decide
from components.reporting import OwnerSummary, illustrate, render_report, render_verdict_markdown
from components.reporting.captions import CAPTIONS

pytestmark = pytest.mark.filterwarnings("error")
EVIL = '</title><script>alert("1")</script> | $x_1$ `c` [a](javascript:b) \'"><img src=http://e.vil/x> ' + "long " * 60
VOID = {"meta", "img", "br", "link", "input", "hr", "base"}


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, text, and whether tags close in order."""

    def __init__(self, html: str):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def full(report_of, pair):
    return illustrate(report_of(), candidate=pair[0], champion=pair[1], learning={"train": [0.6, 0.5, 0.45]})


@pytest.fixture(scope="module")
def html(full):
    return render_report(full)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def assert_loads_nothing(page: Page) -> None:
    for tag, attrs in page.elements:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form", "video", "audio", "svg"}
        assert not any(name.startswith("on") or name in {"srcset", "background", "style"} for name in attrs), attrs
        if "src" in attrs:
            assert attrs["src"].startswith("data:image/png;base64,")
        if "href" in attrs:
            assert tag == "a"
            assert attrs["href"].startswith(("http://", "https://"))
    policy = [one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_loads_nothing_and_is_well_formed(page, html):
    assert_loads_nothing(page)
    assert page.open == []
    assert html.startswith("<!doctype html>")
    assert "url(" not in html
    assert "@import" not in html


def test_verdict_precedes_everything_it_rests_on(html, full):
    places = [html.index(mark) for mark in ('id="verdict"', 'class="tiles"', "<figure>", "<table>", "<img")]
    assert places[0] < places[1] < min(places[2:])
    assert html.index(str(full.verdict.decision)) < html.index("<figure>")


def test_every_check_and_reason_is_said(page, full):
    for check in full.verdict.checks:
        assert check.subject in page.text
        said = " ".join(check.reason.removeprefix(f"{check.subject}: ").split())
        assert said in page.text
    for reason in full.verdict.reasons:
        assert " ".join(reason.split()) in page.text


def test_key_figures_are_the_flips(page, full):
    flips = full.flips
    for rate in (flips.error_new, flips.error_old, flips.negative_flip_rate, flips.positive_flip_rate):
        assert f"{100 * rate:.{2 if rate < 0.09995 else 1}f} %" in page.text
    assert "2.10 %" in page.text
    assert "budget 5 %" in page.text


def test_everything_handed_in_is_shown(page, full):
    for group in full.groups:
        assert group.group in page.text
    for owner in full.owners:
        assert owner.owner in page.text
    for said in (*full.leakage, *full.not_measured, *full.verdict.unjudged, *full.digests.values(), *full.links):
        assert said in page.text
    assert "✓ chosen" in page.text
    assert "nfr: 0.05" in page.text
    assert "182 334 112" in page.text
    links = [one["href"] for one in page.all("a")]
    assert links == [link for link in full.links.values() if link.startswith("http")]
    assert "ledger/randhie.jsonl, line 12" in page.text


def test_images_decode_are_not_blank_and_have_alt_texts(page, full):
    images = page.all("img")
    assert len(images) == len(full.figures) == 9
    assert set(full.figures) <= set(CAPTIONS)
    assert len({one["alt"] for one in images}) == len(images)
    for one in images:
        pixels = np.asarray(Image.open(BytesIO(b64decode(one["src"].split(",")[1]))).convert("RGB"))
        assert pixels.std() > 5
        assert pixels.shape[1] == 2 * int(one["width"])
    for name in full.figures:
        assert CAPTIONS[name].title in page.text


def test_tables_have_captions_and_scopes_and_headings_go_down_by_one(page):
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in attrs for attrs in page.all("th"))
    levels = [int(tag[1]) for tag, _ in page.elements if tag in {"h1", "h2", "h3"}]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_first_model_has_no_champion(report_of):
    first = report_of(
        1, flips=None, champion_groups=(), noise_floor=None, candidates=(CandidateScore("only", 0.19, float("nan")),),
        chosen="only", selection_champion_error=None, nfr_upper=None,
    )  # fmt: skip
    page = Page(render_report(illustrate(first)))
    assert "no champion" in page.text
    assert "nan" not in page.text.lower().replace("distinguish", "")
    assert_loads_nothing(page)


def test_bare_report(report_of):
    bare = report_of(
        verdict=decide((), {}), owners=(), flips=None, noise_floor=None, candidates=(), groups=(), champion_groups=(),
        training={}, leakage=(), parameters={}, policy="", digests={}, links={}, not_measured=(),
    )  # fmt: skip
    page = Page(render_report(illustrate(bare)))
    assert page.all("img") == []
    assert "HOLD" in page.text
    assert bare.verdict.reasons[0] in page.text
    assert "HOLD" in render_verdict_markdown(bare)


def test_two_hundred_checks_are_all_in_the_page(report_of):
    many = report_of(200)
    page = Page(render_report(many))
    outcomes = [attrs["class"] for tag, attrs in page.elements if tag == "span" and "outcome" in attrs.get("class", "")]
    assert outcomes == sorted(outcomes, key=["outcome FAIL", "outcome INCONCLUSIVE", "outcome PASS"].index)
    assert len(outcomes) == 200


def evil_report(report_of, pair):
    levels = tuple(f"{EVIL}{n}" for n in range(5))
    groups = {EVIL: GroupColumn(pair[0].groups["race"].codes, levels)}
    model = type(pair[0])(pair[0].rule, pair[0].row_ids, pair[0].labels, groups, pair[0].scores)
    checks = tuple(
        type(check)(EVIL, EVIL, check.outcome, check.value, check.lower, check.upper, check.budget, 9, EVIL)
        for check in report_of(5).verdict.checks
    )
    evil = report_of(
        title=EVIL, made_at=EVIL, mode=EVIL, verdict=decide(checks, {}, (EVIL,)), chosen=EVIL, group_metric=EVIL,
        owners=(OwnerSummary(EVIL, 9, 9, 1, positives=1, groups={EVIL: {EVIL: 9}}),),
        candidates=(CandidateScore(EVIL, 0.1, 0.01),),
        groups=group_metrics(model, "error"), champion_groups=(), training={EVIL: EVIL}, leakage=(EVIL,),
        parameters={EVIL: [EVIL, {EVIL: EVIL}]}, policy=EVIL, digests={EVIL: EVIL}, not_measured=(EVIL,),
        links={EVIL: "javascript:alert(1)", "data": "data:text/html,x", "good": 'https://a.b/"><script>'},
    )  # fmt: skip
    return illustrate(evil, candidate=model, learning={EVIL: [1.0, 0.5]})


def test_names_with_markup_stay_text(report_of, pair):
    html = render_report(evil_report(report_of, pair))
    page = Page(html)
    assert_loads_nothing(page)
    assert page.open == []
    assert len(page.all("a")) == 1
    assert " ".join(EVIL.split()) in page.text
    assert all(one["src"].startswith("data:") for one in page.all("img"))


def test_figures_with_another_name_stand_in_their_own_section(report_of, full):
    page = Page(render_report(report_of(figures={"my own plot": full.figures["flips"]})))
    assert "Further plots" in page.text
    assert "my own plot" in page.text


def test_markdown_says_decision_reasons_checks_and_links(full):
    text = render_verdict_markdown(full)
    assert text.startswith(f"# {full.verdict.decision}")
    assert "[MLflow run](<http://127.0.0.1:5000/#/experiments/1/runs/3f9a>)" in text
    rows = [line for line in text.splitlines() if line.startswith("| ") and str(Outcome.INCONCLUSIVE) in line]
    assert len(rows) == 30
    assert f"{len(full.verdict.checks) - 30} more checks" in text
    columns = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert columns == {4, 8}


def test_markdown_of_evil_names_keeps_one_row_a_check_and_no_markup(report_of, pair):
    evil = evil_report(report_of, pair)
    text = render_verdict_markdown(evil)
    assert "<script" not in text
    assert "<img" not in text
    assert not re.search(r"(?<!\\)\]\(<?javascript", text)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in table} == {4, 8}


def test_same_report_gives_the_same_page(report_of):
    few = {"owners": (), "groups": (), "candidates": ()}
    assert render_report(illustrate(report_of(3, **few))) == render_report(illustrate(report_of(3, **few)))
