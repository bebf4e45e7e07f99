"""Dependences that a plan does not declare, seen in the words of its subtasks."""

import pytest

from plait.methods.plan.independence import find_cycle, late_needs, undeclared_needs
from plait.methods.plan.subtask import Subtask

BEFORE = [
    Subtask("walls", "Work out the length of the walls; call it L1."),
    Subtask("2", "Count the windows, denoted by N."),
    Subtask("cost_of_roof", "Find the price of a roof."),
]
ALL = {"walls", "2", "cost_of_roof"}


@pytest.mark.parametrize(("task", "found"), [
    ("Double the result of walls.", {"walls"}),
    ("Take $walls and add 2.", {"walls"}),
    ("Take {walls} and ${cost_of_roof}.", {"walls", "cost_of_roof"}),
    ("Add 5 to the answer to subtask 2.", {"2"}),
    ("Using step 2, say how much glass it takes.", {"2"}),
    ("Use `cost_of_roof`'s result.", {"cost_of_roof"}),
    ("Multiply L1 by the height.", {"walls"}),
    ("Multiply N by L1.", {"walls", "2"}),
    ("Double the result above.", {"cost_of_roof"}),
    ("Halve the value just computed.", {"cost_of_roof"}),
    ("Continue from the previous step.", {"cost_of_roof"}),
    ("Use the price found earlier.", {"cost_of_roof"}),
    ("Add up the results.", ALL),
    ("Combine all the answers into one.", ALL),
    ("Compare these findings.", ALL),
    ("Check all of the above.", ALL),
    ("Write a summary of the other parts.", ALL),
    ("Sum the values so far.", ALL),
])
def test_words_give_a_dependence_away(task: str, found: set[str]) -> None:
    assert undeclared_needs(Subtask("x", task), BEFORE) == found


@pytest.mark.parametrize("task", [
    "Paint the walls.",
    "Say what the walls cost to paint.",
    "List the parts of an engine.",
    "Explain the values that a firm may stand for.",
    "Summarise the last part of the book.",
    "What is grown in other parts of the country?",
    "Compare the results of the two elections.",
    "Describe the 2 rooms below the roof.",
    "Work out the area; call it A1.",
])
def test_plain_words_are_no_dependence(task: str) -> None:
    assert undeclared_needs(Subtask("x", task), BEFORE) == set()


def test_what_is_declared_is_not_found_again_and_rules_out_pointing_back_elsewhere() -> None:
    for task in ("Double the result of walls.", "Double the result above."):
        assert undeclared_needs(Subtask("x", task, ("walls",)), BEFORE) == set()


def test_one_that_comes_later_may_be_what_an_earlier_one_needs() -> None:
    late = Subtask("slope", "Find the slope of the roof, call it S1.")
    users = [Subtask("a", "Use S1."), Subtask("b", "Take the answer to slope."),
             Subtask("c", "Find the slope of a hill.")]
    assert late_needs(late, users) == {"a", "b"}


@pytest.mark.parametrize(("needs", "circle"), [
    ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
    ({"a": {"b"}, "b": {"a"}}, ["a", "b"]),
    ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, ["b", "c"]),
    ({"a": {"ghost"}}, []),
])
def test_circles_are_found(needs: dict[str, set[str]], circle: list[str]) -> None:
    assert find_cycle(needs) == circle
