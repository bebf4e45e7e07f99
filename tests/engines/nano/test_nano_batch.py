"""Who runs when, and what each request gets. All invariants are checked after every step."""

from __future__ import annotations

import pytest

from plait.engines.batching import Batch, Sequence
from tests.engines.nano.tiny import Tiny, make_batch, play, random_ids, write, written

PREFIX = random_ids(0, 21)


def family(count: int, tokens: int = 8) -> list[Sequence]:
    """Siblings: a shared prefix and a header of two tokens each."""
    return [write([*PREFIX, 3 + k, 40 + k], tokens) for k in range(count)]


def empty(batch: Batch) -> None:
    """Nothing may be left once the index is dropped."""
    batch.check()
    assert batch.ledger.statistics().used == 0
    batch.ledger.drop_index()
    batch.check()
    assert batch.ledger.statistics().free == len(batch.ledger.blocks)


def test_a_request_gets_the_likeliest_tokens(tiny: Tiny) -> None:
    batch, request = make_batch(tiny), write(PREFIX, 12)
    assert written(play(batch, request), request) == tiny.greedy(PREFIX, 12)
    empty(batch)


def test_company_does_not_change_a_result(tiny: Tiny) -> None:
    alone = []
    for request in family(6):
        alone.append(written(play(make_batch(tiny), request), request))
    together = family(6)
    output = play(make_batch(tiny, 200), *together)
    assert [written(output, request) for request in together] == alone


def test_siblings_that_arrive_together_read_their_prefix_once(tiny: Tiny) -> None:
    batch, siblings = make_batch(tiny, 200), family(6)
    play(batch, *siblings)
    assert [s.usage.cached for s in siblings] == [0, *[len(PREFIX)] * 5]
    assert batch.statistics().read == len(PREFIX) + 2 + 5 * 2


def test_a_child_of_a_writing_parent_reads_only_its_header(tiny: Tiny) -> None:
    batch, parent = make_batch(tiny), write(PREFIX, 30)
    batch.add(parent)
    while parent.generated < 9:
        batch.step()
        batch.check()
    context = parent.ids[:-1]  # the last token is written but not yet read
    child = write([*context, 7, 8], 4)
    output = play(batch, child)
    assert child.usage.cached == len(context)
    assert written(output, child) == tiny.greedy([*context, 7, 8], 4)


def test_a_fork_from_the_middle_of_what_the_parent_wrote_is_found(tiny: Tiny) -> None:
    batch, parent = make_batch(tiny), write(PREFIX, 20)
    play(batch, parent)
    child = write([*parent.ids[:30], 7], 3)
    play(batch, child)
    assert child.usage.cached == 30


def test_a_new_request_joins_at_the_next_step(tiny: Tiny) -> None:
    batch, first, second = make_batch(tiny), write(PREFIX, 20), write([5, 6], 3)
    batch.add(first)
    for _ in range(4):
        batch.step()
    batch.add(second)
    assert {s for s, _ in batch.step()} == {first, second}


def test_a_long_prompt_does_not_stall_those_that_write(tiny: Tiny) -> None:
    batch, writer, reader = make_batch(tiny, chunk=16), write(PREFIX, 30), write([9] * 100, 2)
    batch.add(writer)
    for _ in range(3):
        batch.step()
    batch.add(reader)
    for _ in range(100 // 16):
        assert [s for s, _ in batch.step()] == [writer]
        batch.check()
    assert {s for s, _ in batch.step()} == {writer, reader}


def test_requests_wait_in_line_when_memory_is_full(tiny: Tiny) -> None:
    batch = make_batch(tiny, blocks=12)
    requests = [write(random_ids(k, 18), 6) for k in range(5)]
    order: list[int] = []
    for request in requests:
        batch.add(request)
    while batch.busy:
        batch.step()
        batch.check()
        order += [k for k, r in enumerate(requests) if r.cached is not None and k not in order]
        assert len(batch.running) <= 2
    assert order == [0, 1, 2, 3, 4]
    empty(batch)


def test_out_of_memory_the_youngest_gives_way_and_still_gets_its_result(tiny: Tiny) -> None:
    batch = make_batch(tiny, blocks=16)
    requests = [write(random_ids(k, 9), 30) for k in range(4)]
    output = play(batch, *requests)
    assert batch.statistics().preempted > 0
    for request in requests:
        assert written(output, request) == tiny.greedy(random_ids(requests.index(request), 9), 30)
    ends = [s for s, piece in output if piece.finish]
    assert ends[0] is requests[0]
    empty(batch)


def test_alone_and_out_of_memory_ends_with_window(tiny: Tiny) -> None:
    batch, request = make_batch(tiny, blocks=5), write(random_ids(1, 10), 50)
    _, last = play(batch, request)[-1]
    assert last.finish == "window"
    assert request.generated == 11  # 20 tokens fit; the last one written needs no room
    empty(batch)


def test_the_window_ends_a_request(tiny: Tiny) -> None:
    batch, request = make_batch(tiny), write(random_ids(1, 190), 50)
    _, last = play(batch, request)[-1]
    assert (last.finish, len(request.ids)) == ("window", 200)
    assert not batch.fits(200)


@pytest.mark.parametrize("blocks", [14, 200])
def test_cancelling_at_any_step_leaves_nothing_behind(tiny: Tiny, blocks: int) -> None:
    """Every request of a recorded run is cancelled before every step, memory scarce or not."""
    steps = make_batch(tiny, blocks)
    play(steps, *family(4, 5))
    for at in range(0, steps.statistics().steps + 1, 2):
        for victims in ({0}, {1, 3}, {0, 1, 2, 3}):
            batch, siblings = make_batch(tiny, blocks), family(4, 5)
            for sibling in siblings:
                batch.add(sibling)
            for _ in range(at):
                batch.step()
            for k in victims:
                batch.cancel(siblings[k])
                batch.check()
            play(batch)
            empty(batch)
            left = [s for k, s in enumerate(siblings) if k not in victims]
            assert all(s.generated == 5 for s in left)


def test_readers_whose_forerunner_is_cancelled_read_for_themselves(tiny: Tiny) -> None:
    batch = make_batch(tiny, 200, chunk=8)
    siblings = family(3)
    for sibling in siblings:
        batch.add(sibling)
    batch.step()
    assert len(batch.running) == 1
    batch.cancel(siblings[0])
    output = play(batch)
    assert written(output, siblings[2]) == tiny.greedy(siblings[2].ids[: siblings[2].prompt], 8)


def test_stops_and_ends_are_told_apart(tiny: Tiny) -> None:
    follow = tiny.greedy(PREFIX, 6)
    stop = write(PREFIX, 20, stop_ids=(follow[2],))
    at = play(make_batch(tiny), stop)[-1][1]
    expected = follow[: follow.index(follow[2]) + 1]
    assert (at.finish, at.stop, stop.generated) == ("stop", follow[2], len(expected))
    batch = make_batch(tiny)
    batch._vocabulary.eos = frozenset({follow[2]})
    end = write(PREFIX, 20)
    output = play(batch, end)
    assert output[-1][1].finish == "length"  # `write` ignores end tokens
    from_model = Sequence(PREFIX, end.sampling.__class__(max_tokens=20))
    output = play(batch, from_model)
    assert output[-1][1].finish == "eos"
    assert written(output, from_model) == expected[:-1]
    assert from_model.usage.generated == len(expected)
