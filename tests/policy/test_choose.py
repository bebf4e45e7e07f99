"""The first policy: fork where the model can, narrow when the engine is busy."""

from plait.interfaces import Load
from plait.policy import choose

FORKS = ("apr", "threadweaver")
PLAIN = ()
IDLE = Load(running=0, waiting=0)


def test_a_model_that_forks_is_driven_in_the_format_it_prefers() -> None:
    plan = choose(FORKS, IDLE, method=None, protocol=None)
    assert (plan.method, plan.protocol, plan.width) == ("native", "apr", None)


def test_a_model_that_is_not_known_to_fork_answers_sequentially() -> None:
    assert choose(PLAIN, IDLE, method=None, protocol=None).method == "sequential"


def test_the_callers_words_are_stronger_than_what_is_known() -> None:
    assert choose(PLAIN, IDLE, method=None, protocol="threadweaver").protocol == "threadweaver"
    assert choose(FORKS, IDLE, method="sequential", protocol=None).method == "sequential"


def test_while_requests_queue_at_the_engine_the_width_is_one() -> None:
    assert choose(FORKS, Load(running=8, waiting=3), method=None, protocol=None).width == 1


def test_an_engine_that_does_not_say_is_not_busy() -> None:
    assert choose(FORKS, Load(), method=None, protocol=None).width is None


def test_a_directed_method_that_is_asked_for_is_planned_as_it_is() -> None:
    plan = choose(FORKS, IDLE, method="explore", protocol=None)
    assert (plan.method, plan.protocol, plan.width) == ("explore", None, None)
    assert choose(PLAIN, IDLE, method="explore", protocol="apr").protocol == "apr"
    assert choose(PLAIN, Load(running=8, waiting=3), method="fixed", protocol=None).width == 1
