"""Names for everything that can be named: engines, protocols, methods, merges, verifiers.

Engines are loaded when they are first asked for, so that a command that needs none starts fast.
A protocol of one's own is named by where it stands, ``module:NAME``, and needs no registration.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import cast

from plait.core import DEFAULT_WINDOW, Directions, Plan, Request
from plait.errors import UsageError
from plait.interfaces import Engine, Merge, Method, Verifier, WireProtocol
from plait.merge import Adaptive, Best, Concat, Hierarchical, Synthesize, Vote
from plait.methods import (
    Explore,
    Fixed,
    Native,
    PlanMethod,
    PlanOptions,
    Refine,
    Sequential,
    Skeleton,
    Tools,
)
from plait.prompts import Prompts, load_prompts
from plait.protocols import CATALOGUE, Known, look_up, recognise, refusal
from plait.verify import Code, Exact, Function, Judge, Math, Puzzle

METHODS = ("sequential", "native", "tools", "plan", "explore", "fixed", "refine", "skeleton")
AUTO = "auto"
"""In a protocol's place: the one that the served model is known to write."""
MERGES: dict[str, Callable[[Prompts, int], Merge]] = {
    "vote": lambda prompts, window: Vote(),
    "vote:confidence": lambda prompts, window: Vote("confidence"),
    "best": Best, "synthesize": Synthesize, "hierarchical": Hierarchical, "adaptive": Adaptive,
    "concat": lambda prompts, window: Concat(titled=True)}
"""What makes each merge of a set of prompts and the window of a merger."""
VERIFIERS = ("auto", "none", "judge", "exact:ANSWER", "math:ANSWER", "code:FILE",
             "function:MODULE:NAME")


def find_protocol(name: str) -> Known:
    """The wire format ``name``: one of the catalogue, or ``module:NAME`` for a `Known` elsewhere.

    Raises `UsageError`, for some with the reason why there is none.
    """
    known = look_up(name)
    if known is not None:
        return known
    if refused := refusal(name):
        raise UsageError(f"there is no protocol `{name}`",
                         hint=f"{refused.reason}. {refused.instead}")
    base = name.partition(":")[0]
    if base != name and (other := look_up(base)):
        most = other.form.most if other.form and other.form.width else 0
        hint = f"Say `{base}:N` with N from 1 to {most}." if most else f"Say just `{base}`."
        raise UsageError(f"`{name}` is no form of the protocol `{base}`", hint=hint)
    module, _, attribute = name.partition(":")
    if attribute.isidentifier() and all(part.isidentifier() for part in module.split(".")):
        return _import_protocol(name, module, attribute)
    raise UsageError(f"there is no protocol `{name}`", hint=_suggest(name, list(CATALOGUE)))


def protocol_of(engine: Engine, request: Request | None = None) -> tuple[str | None, str]:
    """The wire format that ``engine``'s model is known to write (None: not known), for ``request``
    if there is one; and why."""
    known = engine.capabilities.protocols if request is None else engine.protocols(request)
    if known:
        return known[0], f"the engine says that its model writes {known[0]}"
    if not (found := recognise(engine.model)):
        return None, (f"no wire format is known for the model `{engine.model}`: name one with"
                      " --protocol (`plait protocols` lists them), or use --method tools if it"
                      " calls tools")
    first, published = found[0]
    others = [k.facts.name for k, _ in found[1:] if k.facts.name != first.facts.name]
    also = f" (and {', '.join(others)})" if others else ""
    return first.facts.name, (
        f"`{engine.model}` is taken for {published}, which writes {first.facts.name}{also}")


def _import_protocol(name: str, module: str, attribute: str) -> Known:
    """The `Known` called ``attribute`` of a module that is not ours."""
    found = _import(module, attribute, f"the protocol `{name}`")
    if not isinstance(found, Known):
        what = "there is none" if found is None else f"it is of type {type(found).__name__}"
        raise UsageError(f"`{attribute}` in `{module}` is no protocol: {what}",
                         hint="It must be a plait.protocols.Known, such as"
                              " Known.of_blocks(FORMAT, FACTS).")
    return found


def _import(module: str, attribute: str, what: str) -> object:
    """``attribute`` of a module that is not ours; None if it has none."""
    try:
        return getattr(import_module(module), attribute, None)
    except Exception as error:
        raise UsageError(f"cannot import `{module}` for {what}: {type(error).__name__}: {error}",
                         hint="Say module:NAME, with the module here or installed.") from error


def make_protocol(name: str) -> Callable[[str], WireProtocol]:
    """What makes a machine of the wire format ``name`` from an opening prompt."""
    return find_protocol(name).machine


def make_method(plan: Plan, directions: Directions | None = None) -> Method:
    """The method that ``plan`` names, made to work as ``directions`` say."""
    directions = directions or Directions()
    if plan.method == "sequential":
        return Sequential()
    if plan.method == "tools":
        return Tools()
    if plan.method == "native":
        return _make_native(plan)
    if plan.method not in METHODS:
        raise UsageError(f"there is no method `{plan.method}`",
                         hint=_suggest(plan.method, list(METHODS)))
    prompts = load_prompts(directions.prompts)
    verifier = make_verifier(directions.verify, prompts)
    merge = make_merge(directions.merge, prompts, directions.window) if directions.merge else None
    if merge is not None and plan.method in ("refine", "skeleton"):
        raise UsageError(f"the method `{plan.method}` has a merge of its own",
                         hint="Leave `merge` out, or use the method `explore` or `fixed`.")
    if plan.protocol is not None and plan.method != "explore":
        raise UsageError(f"the method `{plan.method}` drives no wire format",
                         hint="Leave `protocol` out, or use the method `explore` or `native`.")
    return _make_directed(plan, directions, prompts, merge, verifier)


def _make_directed(
    plan: Plan, directions: Directions, prompts: Prompts, merge: Merge | None,
    verifier: Verifier | None,
) -> Method:
    count, window = directions.attempts, directions.window
    match plan.method:
        case "plan":
            return PlanMethod(PlanOptions.parse(directions.plan, window), merge=merge,
                              verifier=verifier, prompts=prompts)
        case "explore":
            inner = _make_native(plan) if plan.protocol is not None else None
            return Explore(merge=merge, verifier=verifier, prompts=prompts, inner=inner,
                           window=window, **({} if count is None else {"attempts": count}))
        case "fixed":
            return Fixed(merge=merge, verifier=verifier, prompts=prompts, window=window,
                         **({} if count is None else {"threads": count}))
        case "refine":
            return Refine(rounds=directions.rounds, verifier=verifier, prompts=prompts,
                          window=window)
        case _:
            return Skeleton(verifier=verifier, prompts=prompts, window=window)


def _make_native(plan: Plan) -> Native:
    if plan.protocol is None:
        raise UsageError("the method `native` needs a protocol",
                         hint=f"Name one of {', '.join(CATALOGUE)}.")
    return Native(make_protocol(plan.protocol))


def make_merge(name: str, prompts: Prompts, window: int | None = None) -> Merge:
    """The merge ``name``, for mergers with a window of so many tokens."""
    make = MERGES.get(name)
    if make is None:
        raise UsageError(f"there is no merge `{name}`", hint=_suggest(name, list(MERGES)))
    return make(prompts, window or DEFAULT_WINDOW)


def make_verifier(name: str | None, prompts: Prompts) -> Verifier | None:
    """The verifier ``name``; None and ``auto``: puzzles are checked by their rules. ``none``: None.

    Raises `UsageError` for names that are not known, tests that cannot be read, functions that
    cannot be imported, and ``math`` where math-verify is not installed.
    """
    kind, _, value = (name or "auto").partition(":")
    made: Verifier
    match kind, value.strip():
        case "none", "":
            return None
        case "auto", "":
            made = Puzzle()
        case "judge", "":
            made = Judge(prompts)
        case "exact", expected if expected:
            made = Exact(expected)
        case "math", expected if expected:
            made = Math(expected)
        case "code", path if path:
            made = Code(_read_tests(Path(path)))
        case "function", place if place:
            made = _import_check(place)
        case _:
            what = f"the verifier `{kind}` needs a value" if not value and (
                kind in ("exact", "math", "code", "function")) else f"there is no verifier `{name}`"
            raise UsageError(what, hint=f"Known: {', '.join(VERIFIERS)}.")
    return made


def _import_check(place: str) -> Function:
    """The user's own check, ``MODULE:NAME``."""
    module, _, attribute = place.partition(":")
    check = _import(module, attribute, f"the verifier `function:{place}`")
    if not callable(check):
        raise UsageError(f"there is no function `{attribute}` in `{module}`",
                         hint="It takes the question and the answer, and says whether that is"
                              " right.")
    return Function(check)


def _read_tests(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise UsageError(f"cannot read the tests {path}: {why}") from error


def make_engine(spec: str, model: str | None = None) -> Engine:
    """The engine that ``spec`` names: ``nano``, or the base URL of a server.

    ``model`` names the model of a server, or a folder with another model for ``nano``.
    """
    if spec == "nano":
        load = _load("plait.engines.nano:NanoEngine")
        return load(Path(model)) if model else load()
    if spec.startswith(("http://", "https://")):
        return _load("plait.engines.openai:OpenAIEngine")(spec, model)
    raise UsageError(f"there is no engine `{spec}`",
                     hint="Use `nano`, or the base URL of an OpenAI-compatible server"
                          " such as http://127.0.0.1:8000/v1.")


def _load(path: str) -> Callable[..., Engine]:
    module, _, name = path.partition(":")
    return cast("Callable[..., Engine]", getattr(import_module(module), name))


def _suggest(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    listed = f"Known: {', '.join(known)}."
    return f"Did you mean `{near[0]}`? {listed}" if near else listed
