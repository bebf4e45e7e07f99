"""Reports: the page stands alone, tells what the numbers tell, and conditions are kept."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from plait.errors import UsageError
from plait.evals.report import check, measures, read_summary, write_report
from plait.evals.report.tables import Table, as_markdown
from plait.evals.report.words import headline
from plait.evals.runner import Job
from plait.evals.values import Arm, Record
from plait.viewer.scale import compact, ticks
from tests.evals.help import ARMS, Bench, sums
from tests.evals.test_summary import forked, record, summarise

pytestmark = pytest.mark.anyio


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """An evaluation of 20 sums in two ways; the names ask for escaping."""
    arms = (ARMS[0], Arm("auto", "auto"))
    await Bench(tmp_path / "run").run(Job(sums(20, "<sums> & more"), arms))
    return tmp_path / "run"


class Page(HTMLParser):
    """Checks that tags are balanced and notes what is linked."""

    VOID = ("meta", "br", "line", "circle", "rect", "polyline", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID[:2]:
            self.open.append(tag)
        self.links += [v or "" for k, v in attrs if k in ("src", "href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [v or "" for k, v in attrs if k in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_page_stands_alone(folder: Path) -> None:
    report = write_report(folder)
    html = report.files[0].read_text(encoding="utf-8")
    page = Page()
    page.feed(html)
    assert page.open == []
    assert all(link.startswith("traces/") for link in page.links)
    assert all((folder / link).exists() for link in page.links)
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", html)
    assert "&lt;sums&gt; &amp; more" in html
    assert "<sums>" not in html
    assert "prefers-color-scheme: dark" in html


async def test_every_drawing_is_well_formed(folder: Path) -> None:
    html = write_report(folder).files[0].read_text(encoding="utf-8")
    drawings = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(drawings) == 10
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.get("aria-label")
        for element in root.iter():
            for name in ("x", "y", "cx", "cy", "x1", "x2", "y1", "y2", "width", "height"):
                value = element.get(name)
                assert value is None or -1 <= float(value) <= 500


async def test_all_forms_tell_the_same(folder: Path) -> None:
    report = write_report(folder)
    data = json.loads((folder / "report.json").read_text())
    rows = list(csv.DictReader((folder / "report.csv").read_text().splitlines()))
    markdown = (folder / "report.md").read_text()
    values = {f"{r['method']}.{r['measure']}": r["value"] for r in rows}
    assert float(values["sequential.accuracy"]) == data["measures"]["sequential.accuracy"] == 0.8
    assert report.summary.arms[0].accuracy.estimate == 0.8
    assert report.headlines[0] in markdown
    assert report.headlines == tuple(data["headlines"])
    assert "80.0 %" in markdown


def fake(folder: Path, records: list[Record], **plan: object) -> Path:
    """A folder with just these records."""
    folder.mkdir(exist_ok=True)
    (folder / "eval.json").write_text(json.dumps({"suite": "s", "arms": {}, **plan}))
    from dataclasses import asdict  # noqa: PLC0415
    (folder / "records.jsonl").write_text(
        "".join(json.dumps(asdict(r)) + "\n" for r in records))
    return folder


def test_flipped_problems_show_both_answers_and_their_traces(tmp_path: Path) -> None:
    records = [record("sequential", i, right=i < 3, answer="<b>bold</b>\x1b[2J") for i in range(10)]
    records += [forked(i, trace="traces/none.jsonl") for i in range(10)]
    html = write_report(fake(tmp_path, records)).files[0].read_text()
    assert html.count("<details>") == 7
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert "\x1b" not in html
    assert 'href="traces/none.jsonl"' in html, "a link, although the trace is gone"


async def test_a_flip_holds_the_tree_of_its_run(folder: Path) -> None:
    lines = (folder / "records.jsonl").read_text().splitlines()
    changed = [json.loads(line) for line in lines]
    for item in changed:
        item["mark"] = "right" if item["arm"] == "auto" else "wrong"
    (folder / "records.jsonl").write_text("".join(json.dumps(c) + "\n" for c in changed))
    html = write_report(folder).files[0].read_text()
    assert html.count("<pre>") == 40
    assert "longest path" in html
    elsewhere = write_report(folder, out=folder.parent / "page").files[0].read_text()
    assert "file://" in elsewhere


def test_words_say_what_the_numbers_say() -> None:
    records = [record("sequential", i, right=i < 4) for i in range(40)]
    records += [forked(i, wall_seconds=0.5 + i / 100) for i in range(40)]
    (versus,) = summarise(records).versus
    sentence = headline(versus)
    assert sentence.startswith("native against sequential, 40 problems: accuracy better (+90.0")
    assert "p < 0.001" in sentence
    assert "as fast by the clock" in sentence
    tied = summarise([record("sequential", i, right=i != 1) for i in range(10)]
                     + [forked(i, right=i != 2, wall_seconds=1.0) for i in range(10)]).versus[0]
    assert "accuracy tied at this sample size" in headline(tied)
    assert "no difference to be seen" in headline(tied)
    slower = summarise([record("sequential", i) for i in range(10)]
                       + [forked(i, wall_seconds=2.0) for i in range(10)]).versus[0]
    assert "0.50× [0.50, 0.50] as fast by the clock" in headline(slower)


def test_cautions_are_told(tmp_path: Path) -> None:
    records = [record("sequential", i, estimated=True) for i in range(8)]
    records += [forked(i, cached=True, fallback="no fork") for i in range(7)]
    records += [forked(7, mark="ungraded"), Record("p9", "native", 0, "error")]
    cautions = " ".join(write_report(fake(tmp_path, records, at_once=4)).cautions)
    for part in ("4 tasks ran side by side", "7 answers of native came from the cache",
                 "1 tasks of native failed", "could not be graded", "estimates",
                 "sequential fallback", "Fewer than 30 problems"):
        assert part in cautions


def test_what_was_attainable_is_told_with_where_it_comes_from(tmp_path: Path) -> None:
    records = [record("sequential", i) for i in range(10)]
    records += [forked(i, steps=((1, 10), (3, 30))) for i in range(10)]
    folder = fake(tmp_path, records)
    unknown = write_report(folder)
    assert "attainable)" not in unknown.headlines[0]
    assert "Attainable is unknown" in unknown.files[0].read_text()
    (folder / "steps.jsonl").write_text("[1,0.01]\n[3,0.01]\n")
    report = write_report(folder)
    assert "2.00× [2.00, 2.00] as fast by the clock (2.50× attainable)" in report.headlines[0]
    for file in report.files[:2]:
        text = file.read_text()
        assert "attained, of the attainable" in text
        assert "80%" in text
        assert "A step took 10 ms with 1, 10 ms with 3 threads at once" in text
    values = measures(report.summary)
    assert check("native.attained >= 0.79", values).met
    assert check("native.attainable_speedup.low > 2.4", values).met


@pytest.mark.parametrize(("condition", "met"), [
    ("native.attained > 0", False), ("native.attainable_speedup > 0", False),
    ("native.accuracy >= 0.9", True), ("native.accuracy > 1", False),
    ("native.accuracy.low > 0.6", True), ("native.errors == 0", True), ("native.wrong != 0", False),
    ("native.wall_speedup.low > 1.5", True), ("native.wall_speedup < 2.5", True),
    ("native.wall_speedup.verdict == better", True),
    ("native.accuracy_gain.verdict != worse", True),
    ("native.accuracy_gain.verdict == worse", False), ("native.cost <= 10", False),
    ("sequential.accuracy<=1", True)])
def test_conditions_are_met_or_not(condition: str, met: bool) -> None:
    records = [record("sequential", i) for i in range(10)] + [forked(i) for i in range(10)]
    assert check(condition, measures(summarise(records))).met == met


@pytest.mark.parametrize(("condition", "message"), [
    ("native.accuracy", "cannot be read"), ("native.speed > 1", "names no measure"),
    ("native.accuracy > high", "has no number"),
    ("native.wall_speedup.verdict > better", "verdict"),
    ("native.wall_speedup.verdict == good", "verdict")])
def test_conditions_that_make_no_sense_are_refused(condition: str, message: str) -> None:
    records = [record("sequential", i) for i in range(10)] + [forked(i) for i in range(10)]
    with pytest.raises(UsageError, match=message):
        check(condition, measures(summarise(records)))


def test_methods_with_colons_and_dots_have_measures() -> None:
    records = [record("sequential", i) for i in range(8)] + [
        record("native:parathinker:8", i, wall_seconds=0.5) for i in range(8)]
    values = measures(summarise(records))
    assert check("native:parathinker:8.wall_speedup >= 1.9", values).met


def test_a_single_method_is_reported_alone(tmp_path: Path) -> None:
    report = write_report(fake(tmp_path, [record("explore", i) for i in range(4)]))
    assert report.headlines == ()
    assert "explore" in report.files[0].read_text()


def test_what_cannot_be_reported_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no evaluation"):
        read_summary(tmp_path)
    with pytest.raises(UsageError, match="no task was finished"):
        read_summary(fake(tmp_path, []))
    with pytest.raises(UsageError, match="`explore` has no finished tasks"):
        read_summary(fake(tmp_path, [record("sequential", 1)]), "explore")


def test_markdown_escapes_bars() -> None:
    assert as_markdown(Table(("a",), (("x|y",),))).splitlines()[2] == "| x\\|y |"


def test_axes_have_round_ticks() -> None:
    assert ticks(0, 3.1) == [0, 1, 2, 3]
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(0, 1234) == [0, 250, 500, 750, 1000]
    assert ticks(5, 5) == [5]
    assert [compact(v) for v in (0.25, 950, 1200, 3.4e6, 2e9)] == ["0.25", "950", "1.2k", "3.4M",
                                                                  "2G"]
