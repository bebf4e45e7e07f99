"""Which replica a session belongs to, and which comes next."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from plait.engines.pool.ring import order

NAMES = st.lists(st.text(max_size=12), min_size=1, max_size=9, unique=True)


@given(st.text(), NAMES, st.data())
def test_who_goes_takes_only_its_own_keys_along(key: str, names: list[str], data: st.DataObject
                                                ) -> None:
    """The order of the others stays: a key moves only if the one that went was its first, and then
    to its second."""
    gone = data.draw(st.sampled_from(names))
    before = order(key, names)
    assert order(key, [n for n in names if n != gone]) == [n for n in before if n != gone]


@given(st.text(), NAMES, st.randoms())
def test_the_order_is_that_of_the_key_and_not_of_the_list(key: str, names: list[str], mix: object
                                                          ) -> None:
    shuffled = list(names)
    mix.shuffle(shuffled)  # type: ignore[attr-defined]
    assert order(key, shuffled) == order(key, names)
    assert sorted(order(key, names)) == sorted(names)


def test_keys_spread_evenly_and_so_do_those_of_one_that_goes() -> None:
    names = [f"http://10.0.0.{n}:8000" for n in range(1, 6)]
    orders = [order(f"run-{n}", names) for n in range(5000)]
    firsts = Counter(found[0] for found in orders)
    assert all(850 < count < 1150 for count in firsts.values()), firsts
    heirs = Counter(found[1] for found in orders if found[0] == names[0])
    assert len(heirs) == 4
    assert all(180 < count < 320 for count in heirs.values()), heirs
