"""A brief run of the fuzzer with every test run, and what it does when it finds something."""

from __future__ import annotations

import pytest

from tests.fuzz.__main__ import feed, main, make_input
from tests.fuzz.targets import TARGETS, Input, must


@pytest.mark.parametrize("target", TARGETS)
def test_generated_input_holds(target: str) -> None:
    failure = feed(target, 20, range(200))
    assert failure is None, f"{failure.given!r}: {failure.error}"


@pytest.mark.parametrize("target", TARGETS)
def test_an_input_is_made_from_its_number_alone(target: str) -> None:
    assert make_input(target, 5, 17) == make_input(target, 5, 17)
    assert make_input(target, 5, 17) != make_input(target, 5, 18)


def test_a_failing_input_is_printed_with_the_command_that_makes_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    def hold(given: Input) -> None:
        must("<FORK-2>" not in given.turns[0], "two is too many")

    monkeypatch.setitem(TARGETS, "machine asyncthink", (TARGETS["machine asyncthink"][0], hold))
    assert main(["--inputs", "3000", "--target", "machine asyncthink"]) == 1
    said = capsys.readouterr().err
    assert "Broken: two is too many" in said
    again = said.partition("Again: python -m tests.fuzz ")[2]
    number = int(again.rpartition(" ")[2])
    assert repr(make_input("machine asyncthink", 0, number)) in said
    assert main(["--target", "machine asyncthink", "--at", str(number)]) == 1


def test_the_number_of_inputs_is_a_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FUZZ_INPUTS", str(2 * len(TARGETS)))
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(TARGETS) + 2
    assert lines[-1].split()[1] == str(2 * len(TARGETS))
    monkeypatch.setenv("FUZZ_INPUTS", "many")
    with pytest.raises(SystemExit, match="2"):
        main([])
