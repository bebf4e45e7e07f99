"""The first policy: fork where the model can."""

from plait.interfaces import Capabilities
from plait.policy import choose

FORKS = Capabilities(protocols=("apr", "threadweaver"))
PLAIN = Capabilities()


def test_a_model_that_forks_is_driven_in_the_format_it_prefers() -> None:
    plan = choose(FORKS, method=None, protocol=None)
    assert (plan.method, plan.protocol, plan.width) == ("native", "apr", None)


def test_a_model_that_is_not_known_to_fork_answers_sequentially() -> None:
    assert choose(PLAIN, method=None, protocol=None).method == "sequential"


def test_the_callers_words_are_stronger_than_what_is_known() -> None:
    assert choose(PLAIN, method=None, protocol="threadweaver").protocol == "threadweaver"
    assert choose(FORKS, method="sequential", protocol=None).method == "sequential"


def test_a_directed_method_that_is_asked_for_is_planned_as_it_is() -> None:
    plan = choose(FORKS, method="explore", protocol=None)
    assert (plan.method, plan.protocol, plan.width) == ("explore", None, None)
    assert choose(PLAIN, method="explore", protocol="apr").protocol == "apr"
