"""What a perfect player of countdown writes, in each dialect of plait-nano.

These texts are what plait-nano is trained on, and what a scripted engine can replay in tests.
They follow one lesson: each token is one small decision made from what stands near. A search
line therefore repeats the state it is about before it lists that state's results:

    33+32=65 65 12:77.53.
    op       state   + -        (and * and / where allowed, `!` after a hit)

Every function gives the model's own words only; prompts are made in `countdown_text`, and what
the runtime inserts (`apr_joined`) is given apart.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from plait.puzzles.countdown import Operation, Problem, State, operations, results

NO_SOLUTION = "No solution found."
CALLING = "<Calling Sub Searches>\n"
"""How a parent begins to fork."""
LOOK = 2
"""Operations that an APR parent tries itself. Three in five natural problems are solved by then; a
search that is still going on pays for threads."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A written search, and the path it found, if any."""

    text: str
    path: tuple[str, ...] | None


def goal(target: int) -> str:
    return f"{target},{target} equal: Goal Reached"


def answer(target: int, path: Sequence[str] | None) -> str:
    """The last words of a sequential or APR text: the path and the goal line, or none."""
    return NO_SOLUTION if path is None else f"{','.join(path)}\n{goal(target)}"


def pair_results(state: State, target: int) -> Trace:
    """The results of a two-number state, up to the first hit: `77.53.` or `77.72!`."""
    text = ""
    for symbol, value in results(state[0], state[1]):
        if value == target:
            return Trace(f"{text}{value}!", (f"{state[0]}{symbol}{state[1]}={value}",))
        text += f"{value}."
    return Trace(text, None)


def _spaced(state: State) -> str:
    return " ".join(map(str, state))


def _lines(state: State, target: int) -> Trace:
    """The search of a three-number state, one line an operation, up to the first hit."""
    lines: list[str] = []
    for op in operations(state):
        tried = pair_results(op.state, target)
        lines.append(f"{op.text} {_spaced(op.state)}:{tried.text}\n")
        if tried.path is not None:
            return Trace("".join(lines), (op.text, *tried.path))
    return Trace("".join(lines), None)


def _ended(text: str, target: int, path: tuple[str, ...] | None) -> Trace:
    hit = "" if path is None else goal(target) + "\n"
    return Trace(f"\n{text}{hit}{answer(target, path)}", path)


def search3(problem: Problem, before: Sequence[str] = ()) -> Trace:
    """The search of three numbers; `before` are the operations its prompt already holds."""
    found = _lines(problem.numbers, problem.target)
    path = None if found.path is None else (*before, *found.path)
    return _ended(found.text, problem.target, path)


def _moved(problem: Problem, op: Operation) -> str:
    """`46 39 29 20 46+39=85 29 20`: four numbers, an operation on two, and what else is left.

    The numbers are there so that the next operation follows from this one without a look back to
    the prompt, and what is left so that the state after it is put together from what stands here.
    """
    left = list(op.state)
    left.remove(op.result)
    return f"{_spaced(problem.numbers)} {op.text} {_spaced(tuple(left))}"


def _last(problem: Problem, op: Operation) -> str:
    """A full stop behind the last operation: the end is seen where the operation is."""
    return "." if op == operations(problem.numbers)[-1] else ""


def _below(problem: Problem, op: Operation, mark: str = "") -> Trace:
    """The search below one operation on four numbers, under a heading that repeats all it needs.
    ``mark`` stands in front of it.
    """
    found = _lines(op.state, problem.target)
    path = None if found.path is None else (op.text, *found.path)
    state = Problem(problem.target, op.state)
    heading = f"{mark}>{_moved(problem, op)} {state}{_last(problem, op)}\n"
    return Trace(heading + found.text, path)


def sequential4(problem: Problem) -> Trace:
    """The search of four numbers in one thread."""
    text = ""
    for op in operations(problem.numbers):
        found = _below(problem, op)
        text += found.text
        if found.path is not None:
            return _ended(text, problem.target, found.path)
    return _ended(text, problem.target, None)


def quick_look(problem: Problem) -> Trace:
    """What an APR parent tries before it forks: the searches below its first `LOOK` operations.
    Their headings are counted, so that whether to fork can be told from the last one."""
    text = ""
    for k, op in enumerate(operations(problem.numbers)[:LOOK], start=1):
        found = _below(problem, op, str(k))
        text += found.text
        if found.path is not None:
            return _ended(text, problem.target, found.path)
    return Trace(f"\n{text}", None)


def apr_calls(problem: Problem, look: int = LOOK) -> str:
    """The parent's calls, one child for each operation but the ``look`` first, which it tried."""
    text = CALLING
    for k, op in enumerate(operations(problem.numbers)[look:]):
        state = f"{problem.target}:[{', '.join(map(str, op.state))}]"
        text += (
            f"{_moved(problem, op)}{_last(problem, op)}\n"
            f"Generated Node #0,{k}: {state} Operation: {op.text}\n"
            f"<Start Sub Search {k} at level 1> Moving to Node #0,{k}\n"
        )
    return text + "<End Calling Sub Searches>"


def apr_joined(
    problem: Problem, present: Collection[int] | None = None, look: int = LOOK
) -> Trace:
    """What the runtime puts in place of the calls; `present` are the children that finished."""
    text, first = "<Sub Searches>\n", None
    for k, op in enumerate(operations(problem.numbers)[look:]):
        if present is not None and k not in present:
            continue
        path = search3(Problem(problem.target, op.state), (op.text,)).path
        where = f"in Sub Search {k} at level 1 at Node #0,{k}>\n"
        if path is None:
            text += f"<No Solution {where}"
        else:
            text += f"<Goal Reached {where}{answer(problem.target, path)}\n"
            first = first or path
    return Trace(text + "<End Sub Searches>\n", first)


def apr_final(problem: Problem, path: tuple[str, ...] | None) -> str:
    """What the parent writes after the join."""
    return answer(problem.target, path) if path is None else (
        f"{goal(problem.target)}\n{answer(problem.target, path)}"
    )
