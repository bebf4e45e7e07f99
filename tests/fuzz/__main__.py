"""``python -m tests.fuzz [--inputs N] [--seed S] [--target NAME] [--at I]``: feed and check.

Every input is made from the seed, the target and its number alone, so one that fails can be had
again: the command that does is printed. Exit status 1 if an input failed, 2 for a wrong argument.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from types import FrameType

from tests.fuzz.targets import TARGETS, Input

SECONDS = 5
"""An input that takes longer, of this process's own time, hangs."""


@dataclass(frozen=True)
class Failure:
    """An input of which something does not hold."""

    target: str
    at: int
    given: Input
    error: BaseException


def make_input(target: str, seed: int, at: int) -> Input:
    """Input number ``at`` of a target."""
    return TARGETS[target][0](Random(f"{seed}/{target}/{at}"))


def feed(target: str, seed: int, numbers: range) -> Failure | None:
    """Feed a target with these inputs; the first that fails, if any."""
    hold = TARGETS[target][1]
    for at in numbers:
        given = make_input(target, seed, at)
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        try:
            hold(given)
        except Exception as error:  # noqa: BLE001 - boundary: whatever it is, it is a finding
            return Failure(target, at, given, error)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    signal.signal(signal.SIGVTALRM, _hangs)
    targets = [options.target] if options.target else list(TARGETS)
    each = -(-options.inputs // len(targets))
    numbers = range(each) if options.at is None else range(options.at, options.at + 1)
    print(f"{'target':24}{'inputs':>10}{'a second':>10}")
    total, begun = 0, time.perf_counter()
    for target in targets:
        since = time.perf_counter()
        failure = feed(target, options.seed, numbers)
        if failure is not None:
            _report(failure, options.seed)
            return 1
        total += len(numbers)
        rate = len(numbers) / (time.perf_counter() - since)
        print(f"{target:24}{len(numbers):>10,}{rate:>10,.0f}", flush=True)
    print(f"{'all':24}{total:>10,}{total / (time.perf_counter() - begun):>10,.0f}")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=os.environ.get("FUZZ_INPUTS", "1000000"),
                        help="in all (FUZZ_INPUTS; 1000000)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other inputs")
    parser.add_argument("--target", choices=TARGETS, metavar="NAME", help="only this one")
    parser.add_argument("--at", type=int, help="only the input of this number")
    return parser.parse_args(arguments)


def _hangs(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"no end after {SECONDS} seconds")


def _report(failure: Failure, seed: int) -> None:
    print(f"\n{failure.target}, input {failure.at:,}: {type(failure.error).__name__}:"
          f" {failure.error}\n\n{failure.given!r}\n\nAgain: python -m tests.fuzz --seed {seed}"
          f" --target {failure.target!r} --at {failure.at}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
