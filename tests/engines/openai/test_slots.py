"""The book of slots: never two streams on one slot, nothing kept, every prefix found."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from plait.engines.openai.slots import LEAST, Claim, Placing, Seen, SlotBook, Trunk, common

TRUNK = "the question and what was found so far, " * 20
OTHER = "quite another text that shares nothing with it, " * 20
FILES = ("a", "b")


def run(book: SlotBook, now: float = 0.0) -> list[Placing]:
    """Plan, and carry everything out as a good server would."""
    placings = book.plan(now)
    for placing in placings:
        carry_out(book, placing)
    return placings


def carry_out(book: SlotBook, placing: Placing) -> None:
    if placing.trunk is not None:
        if placing.source is not None:
            book.ready(placing.trunk, 9)
        for claim in placing.copies:
            book.filled(claim, placing.trunk)
    book.done(placing, "here")


def burst(book: SlotBook, count: int, trunk: str = TRUNK, session: str = "r") -> list[Claim]:
    return [book.ask(f"{trunk}<Thread>{n}:", session) for n in range(count)]


def test_a_cold_burst_is_read_once_and_copied() -> None:
    book = SlotBook(4, FILES)
    claims = burst(book, 4)
    (placing,) = run(book)
    assert placing.cold
    assert placing.source is claims[0].slot
    assert placing.copies == claims[1:]
    assert placing.trunk is not None
    assert placing.trunk.text == f"{TRUNK}<Thread>"
    assert {c.expected for c in claims[1:]} == {len(placing.trunk.text)}


def test_a_warm_burst_is_copied_from_its_parents_slot() -> None:
    book = SlotBook(4, FILES)
    parent = book.ask(TRUNK[:-200], "r")
    run(book)
    home = parent.slot
    book.release(parent, f"{TRUNK} and more")
    claims = burst(book, 4)
    (placing,) = run(book)
    assert not placing.cold
    assert placing.source is home
    assert len(placing.copies) == 3
    assert home in {c.slot for c in claims}


def test_threads_that_go_on_stay_where_they_are() -> None:
    book = SlotBook(4, FILES)
    claims = burst(book, 4)
    run(book)
    homes = [c.slot for c in claims]
    texts = [f"{c.text} its own long way, number {n}, " * 4 for n, c in enumerate(claims)]
    for claim, text in zip(claims, texts, strict=True):
        book.release(claim, text)
    again = [book.ask(f"{text}so", "r") for text in texts]
    (placing,) = run(book)
    assert [c.slot for c in again] == homes
    assert placing.copies == []


def test_a_straggler_gets_the_trunk_while_its_siblings_run() -> None:
    book = SlotBook(8, FILES)
    burst(book, 2)
    run(book)
    late = book.ask(f"{TRUNK}<Thread>late:", "r")
    (placing,) = run(book, now=1.0)
    assert placing.source is None
    assert placing.copies == [late]
    much_later = book.ask(f"{TRUNK}<Thread>later:", "r")
    (placing,) = run(book, now=99.0)
    assert placing.cold
    assert placing.claims == [much_later]


def test_streams_that_share_little_are_left_alone() -> None:
    book = SlotBook(4, FILES)
    for text in (TRUNK, OTHER, TRUNK[: LEAST - 1] + OTHER):
        book.ask(text)
    assert all(p.trunk is None for p in run(book))


def test_two_bursts_at_once_have_a_trunk_each() -> None:
    book = SlotBook(8, FILES)
    system = "you are a helpful assistant " * 12
    one, two = burst(book, 3, system + TRUNK, "a"), burst(book, 3, system + OTHER, "b")
    placings = run(book)
    trunks = sorted(p.trunk.text for p in placings if p.trunk)
    assert trunks == sorted([f"{system}{TRUNK}<Thread>", f"{system}{OTHER}<Thread>"])
    assert {p.trunk.file for p in placings if p.trunk} == set(FILES)
    assert sum(len(p.claims) for p in placings) == len(one) + len(two)


def test_of_two_runs_that_wait_each_gets_every_second_slot() -> None:
    book = SlotBook(4, FILES)
    first = burst(book, 12, session="a")
    run(book)
    second = burst(book, 4, OTHER, session="b")
    order = []
    for _ in range(8):
        holder = next(s.holder for s in book.slots if s.holder)
        assert holder is not None
        book.release(holder, holder.text)
        order += [c.session for p in run(book) for c in p.claims]
    assert order == ["a", "b"] * 4
    assert all(c.placed for c in second)
    assert sum(c.placed for c in first) == 8


def test_a_slot_that_somebody_took_is_not_given_out_and_holds_nothing() -> None:
    book = SlotBook(2, FILES)
    claim = book.ask(TRUNK)
    run(book)
    home = claim.slot
    assert home is not None
    book.release(claim, TRUNK, (50, 60))
    book.see([Seen(n, busy=n == home.number, task=1, tokens=7) for n in range(2)])
    again, third = book.ask(TRUNK), book.ask(OTHER)
    run(book)
    assert again.slot is not home
    assert again.expected == 0
    assert not third.placed
    assert book.crowded
    book.see([Seen(n, busy=False, task=1, tokens=7) for n in range(2)])
    run(book)
    assert third.slot is home


def test_where_all_slots_are_other_peoples_the_server_chooses() -> None:
    book = SlotBook(2, FILES)
    book.see([Seen(0, busy=True), Seen(1, busy=True)])
    claim = book.ask(TRUNK)
    assert run(book) == []
    assert claim.placed
    assert claim.slot is None


def test_a_slot_that_another_prompt_went_through_is_not_believed() -> None:
    book = SlotBook(1, FILES)
    claim = book.ask(TRUNK)
    run(book)
    book.release(claim, TRUNK, (50, 60))
    book.see([Seen(0, busy=False, task=4, tokens=55)])
    assert book.slots[0].text == TRUNK
    book.see([Seen(0, busy=False, task=5, tokens=61)])
    assert book.slots[0].text == ""


def test_a_server_that_was_started_anew_holds_nothing_and_has_no_trunks() -> None:
    book = SlotBook(4, FILES)
    book.see([Seen(n, busy=False, task=70 + n) for n in range(4)])
    claims = burst(book, 2)
    run(book)
    for claim in claims:
        book.release(claim, claim.text)
    book.see([Seen(n, busy=False, task=n) for n in range(2)])
    assert [s.text for s in book.slots] == ["", ""]
    (placing,) = (burst(book, 2), run(book))[1]
    assert placing.cold


def test_a_placing_that_is_given_up_lets_its_claims_wait_again() -> None:
    book = SlotBook(4, FILES)
    claims = burst(book, 3)
    (placing,) = book.plan(0.0)
    book.release(claims[0])
    book.done(placing, "wait")
    assert book.waiting == claims[1:]
    assert not any(s.holder for s in book.slots)
    (placing,) = run(book)
    assert placing.claims == claims[1:]


def test_without_a_file_that_is_free_everybody_reads() -> None:
    book = SlotBook(4, FILES[:1])
    burst(book, 2)
    (first,) = book.plan(0.0)
    assert first.trunk is not None
    burst(book, 2, OTHER, "b")
    (second,) = book.plan(0.0)
    assert second.trunk is None
    assert not second.cold


@given(st.text("ab", max_size=12), st.text("ab", max_size=12))
def test_the_common_beginning_is_as_long_as_can_be(a: str, b: str) -> None:
    n = common(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


@dataclass
class World:
    """A book, and what a test has done with it."""

    book: SlotBook
    open: list[Claim] = field(default_factory=list)
    running: list[Placing] = field(default_factory=list)

    def check(self) -> None:
        holders = [s.holder for s in self.book.slots if s.holder is not None]
        assert len(set(map(id, holders))) == len(holders)
        for slot in self.book.slots:
            assert slot.holder is None or slot.holder.slot is slot
        for claim in self.open:
            assert claim.slot is None or claim.slot.holder is claim
        files = [t.file for t in self.trunks()]
        assert len(set(files)) == len(files)

    def trunks(self) -> set[Trunk]:
        return {p.trunk for p in self.running if p.trunk is not None}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_never_two_streams_on_one_slot_and_all_are_released(data: st.DataObject) -> None:
    world = World(SlotBook(data.draw(st.integers(1, 5)), FILES))
    book, clock = world.book, 0.0
    for _ in range(data.draw(st.integers(1, 30))):
        clock += data.draw(st.sampled_from([0.0, 1.0, 20.0]))
        act = data.draw(st.sampled_from(["ask", "ask", "plan", "end", "cancel", "leave", "see"]))
        if act == "ask":
            trunk = data.draw(st.sampled_from([TRUNK, OTHER, TRUNK + OTHER, "short "]))
            count = data.draw(st.integers(1, 4))
            world.open += burst(book, count, trunk, data.draw(st.sampled_from("xyz")))
        elif act == "plan":
            world.running += book.plan(clock)
        elif act == "see":
            held = {s.number: s.holder is not None for s in book.slots}
            book.see([Seen(n, busy=busy or data.draw(st.booleans()),
                           task=data.draw(st.integers(-1, 9))) for n, busy in held.items()])
        elif act in ("end", "cancel") and world.running:
            index = data.draw(st.integers(0, len(world.running) - 1))
            placing = world.running.pop(index)
            if act == "end":
                carry_out(book, placing)
            else:
                book.done(placing, data.draw(st.sampled_from(["wait", "anywhere"])))
        elif act == "leave" and world.open:
            claim = world.open.pop(data.draw(st.integers(0, len(world.open) - 1)))
            book.release(claim, claim.text)
        world.check()
    for placing in world.running:
        book.done(placing, "wait")
    for claim in world.open:
        book.release(claim)
    assert not book.waiting
    assert not any(s.holder for s in book.slots)
    book.see([Seen(s.number, busy=False) for s in book.slots])
    last = book.ask(TRUNK)
    run(book, clock + 100)
    assert last.placed
    assert last.slot is not None
