"""`--protocol auto`: by the name of the served model, said aloud, never a silent guess."""

import pytest

from plait.core import Result
from plait.core.events import Noted, RunStarted
from plait.errors import UsageError
from plait.protocols import recognise
from plait.registry import protocol_of
from plait.solve import solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace


@pytest.mark.parametrize(("model", "protocols"), [
    ("bigai-NPR/NPR-4B", ["npr"]), ("NPR-4B", ["npr"]), ("/models/npr-4b/", ["npr"]),
    ("npr-4b:Q4_K_M", ["npr"]), ("someone/NPR-4B-AWQ", ["npr"]), (r"C:\models\NPR-4B", ["npr"]),
    ("/cache/models--bigai-NPR--NPR-4B/snapshots/0a1b", ["npr"]),
    ("Multiverse-32B", ["multiverse"]), ("Leslie04/ParaThinker-1.5B", ["parathinker"]),
    ("Parallel-R1-Unseen_Step_200", ["parallel-r1"]), ("llama-apr_cond10_grpo", ["apr"]),
    ("plait-nano", ["apr", "threadweaver"]),
    ("NPR-4Bx", []), ("my-NPR-4B", []), ("Qwen/Qwen3-8B", []), ("", []), ("models", []),
])
def test_a_served_model_is_known_by_its_published_name(model: str, protocols: list[str]) -> None:
    assert [known.facts.name for known, _ in recognise(model)] == protocols


class Named(ScriptedEngine):
    """A scripted engine whose model has a name."""

    def __init__(self, model: str) -> None:
        super().__init__(lambda p, s: Play("<answer></answer>42", every=0))
        self.model = model


def ask(model: str, trace: Trace | None = None, **options: object) -> Result:
    async def main() -> Result:
        return await solve("Q?", engine=Named(model), trace=trace, protocol="auto",
                           **options)  # type: ignore[arg-type]

    return run_virtual(main)


def test_what_was_chosen_and_why_is_in_the_result_and_the_trace() -> None:
    trace = Trace()
    result = ask("bigai-NPR/NPR-4B", trace)
    why = "`bigai-NPR/NPR-4B` is taken for bigai-NPR/NPR-4B, which writes npr"
    assert (result.method, result.protocol, result.reason) == ("native", "npr", why)
    assert Noted(0.0, "0", why) in trace.events
    assert why not in result.warnings
    assert next(e.protocol for e in trace.events if isinstance(e, RunStarted)) == "npr"


def test_other_formats_of_the_same_model_are_named() -> None:
    protocol, why = protocol_of(Named("plait-nano-v2"))
    assert protocol == "apr"
    assert why == "`plait-nano-v2` is taken for plait-nano, which writes apr (and threadweaver)"


def test_where_nothing_is_known_the_result_says_what_to_name() -> None:
    result = ask("Qwen/Qwen3-8B")
    assert (result.method, result.protocol, result.answer) == (
        "sequential", None, "<answer></answer>42")
    (warning,) = result.warnings
    assert warning == result.reason
    assert "no wire format is known for the model `Qwen/Qwen3-8B`" in warning
    assert "--protocol" in warning


def test_to_insist_on_forking_where_nothing_is_known_is_an_error() -> None:
    with pytest.raises(UsageError, match="no wire format is known"):
        ask("Qwen/Qwen3-8B", method="native")


def test_a_sequential_answer_looks_for_no_format() -> None:
    result = ask("NPR-4B", method="sequential")
    assert (result.method, result.reason) == ("sequential", "asked for")
