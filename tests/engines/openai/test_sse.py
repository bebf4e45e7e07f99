"""Server-sent events are cut right out of whatever bytes arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.engines.openai.sse import LONGEST, Decoder, Event, NotEvents


def decode(*parts: bytes) -> list[Event]:
    decoder = Decoder()
    events = [event for part in parts for event in decoder.feed(part)]
    return events + decoder.close()


def test_each_event_ends_with_a_blank_line() -> None:
    assert decode(b'data: {"a": 1}\n\ndata: [DONE]\n\n') == [Event('{"a": 1}'), Event("[DONE]")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_may_end_in_any_way(end: bytes) -> None:
    stream = end.join([b"data: one", b"data: more", b"", b"data: two", b"", b""])
    assert decode(stream) == [Event("one\nmore"), Event("two")]


def test_a_line_end_cut_in_two_is_one_line_end() -> None:
    assert decode(b"data: a\r", b"\n", b"\n", b"data: b\n\n") == [Event("a"), Event("b")]


def test_heartbeats_and_unknown_fields_are_skipped() -> None:
    assert decode(b": ping\n\nid: 7\nretry: 10\n\n:\n\ndata:x\n\n") == [Event("x")]


def test_the_last_event_may_lack_its_blank_line_and_even_its_line_end() -> None:
    assert decode(b"data: one\n\ndata: two") == [Event("one"), Event("two")]


def test_names_belong_to_one_event_only() -> None:
    assert decode(b"event: error\ndata: bad\n\ndata: good\n\n") == [
        Event("bad", "error"), Event("good")]


def test_the_error_field_of_old_llama_cpp_servers_is_an_event() -> None:
    assert decode(b'error: {"code":500}\n\n') == [Event('{"code":500}', "error")]


def test_broken_utf8_does_not_stop_the_stream() -> None:
    assert decode(b"data: \xff!\n\n") == [Event("�!")]


def test_an_endless_line_is_refused() -> None:
    decoder = Decoder()
    block = b"x" * (LONGEST // 2)
    decoder.feed(block)
    decoder.feed(block)
    with pytest.raises(NotEvents):
        decoder.feed(b"x")


LINES = st.sampled_from(
    [b"data: a", b"data:", b"data: \xc3\xa9", b": c", b"event: e", b"error: x", b"", b"", b"junk"])
STREAMS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=12)


@given(STREAMS, st.data())
def test_how_the_bytes_are_cut_never_matters(
    lines: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(line + end for line, end in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    singles = [stream[i : i + 1] for i in range(len(stream))]
    assert decode(*parts) == decode(stream) == decode(*singles)
