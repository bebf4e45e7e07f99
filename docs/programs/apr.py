"""APR over the scripted engine: children start while the parent still writes its calls, the
parent's text is rewritten at the join, a failed child leaves one line."""

from plait.core import Plan, Request, Result, Sampling
from plait.solve import solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace

ROOT = "Moving to Node #0\nCurrent State: 20:[4, 3, 2], Operations: []"
CALLS = """
Generated Node #0,0: 20:[7, 2] Operation: 4+3=7
Generated Node #0,1: 20:[12, 2] Operation: 4*3=12
Generated Node #0,2: 20:[6, 3] Operation: 4+2=6
<Calling Sub Searches>
<Start Sub Search 0 at level 1> Moving to Node #0,0
<Start Sub Search 1 at level 1> Moving to Node #0,1
<Start Sub Search 2 at level 1> Moving to Node #0,2
<End Calling Sub Searches>"""
FOUND = "4+2=6,6*3=18\n20,20 equal: Goal Reached"
JOINED = (
    "<Sub Searches>\n"
    "<No Solution in Sub Search 0 at level 1 at Node #0,0>\n"
    "<No Solution in Sub Search 1 at level 1 at Node #0,1>\n"
    "<Goal Reached in Sub Search 2 at level 1 at Node #0,2>\n" + FOUND + "\n"
    "<End Sub Searches>\n"
)


def script(prompt: str, sampling: Sampling) -> Play | str:
    """What the model writes after ``prompt``: the parent's two turns, and three children."""
    if prompt == ROOT:
        return CALLS
    if prompt.endswith("<End Sub Searches>\n"):
        return "20,20 equal: Goal Reached\n" + FOUND
    if "Node #0,2" in prompt:
        assert prompt == "Moving to Node #0,2\nCurrent State: 20:[6, 3], Operations: ['4+2=6']"
        return "\n6*3=18\n20,20 equal: Goal Reached\n" + FOUND
    return "\nNo solution found."


async def main(engine: ScriptedEngine, trace: Trace) -> Result:
    """Solve one request natively, in the APR format."""
    request = Request(prompt=ROOT)
    return await solve(request, engine=engine, plan=Plan("native", "apr"), trace=trace)


if __name__ == "__main__":
    trace = Trace()
    result = run_virtual(main, ScriptedEngine(script), trace)
    print(result.text)
    print(f"{result.threads} threads, {result.total_tokens} tokens,"
          f" {result.critical_path_tokens} on the critical path")
