"""Draw the learning curve of a run and print what it took: `python -m training.plot`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from training.export import RUNS

OUT = Path(__file__).parents[1] / "docs" / "img" / "plait-nano-curve.png"
NAMES = {
    "s3": "search of 3 numbers",
    "sequential": "search of 4 numbers, one thread",
    "apr_call": "APR: calls",
    "apr_join": "APR: answer after the join",
    "sheet": "sheet, one thread",
    "sheet_woven": "sheet, ThreadWeaver",
}
FLOOR = 1e-4
"""Below this share of wrong tokens the logarithmic axis ends."""

Line = dict[str, object]


def read_log(path: Path) -> list[Line]:
    """The lines of a log; where a run was resumed, steps that were done again count once."""
    lines: dict[tuple[object, bool], Line] = {}
    for text in path.read_text().splitlines():
        line = json.loads(text)
        lines[line["step"], "eval" in line] = line
    return sorted(lines.values(), key=lambda line: line["tokens"])  # type: ignore[arg-type, return-value]


def draw_errors(axes: Axes, lines: list[Line]) -> None:
    for kind, name in NAMES.items():
        points = [(line["tokens"], line["right"][kind]) for line in lines if "right" in line]  # type: ignore[index]
        axes.plot([x / 1e6 for x, _ in points], [max(FLOOR, 1 - y) for _, y in points], label=name)
    axes.set_yscale("log")
    axes.set_ylim(1, FLOOR)
    ticks = [0.5, 0.1, 0.05, 0.01, 0.005, 0.001]
    axes.set_yticks(ticks, [f"{1 - t:.4g}".replace("0.", ".") for t in ticks])
    axes.set_ylabel("share of tokens right\n(training, as seen)")
    axes.legend(fontsize=8, loc="upper left")


def draw_solved(axes: Axes, lines: list[Line]) -> None:
    points = [(line["tokens"], line["s3_solved"]) for line in lines if "s3_solved" in line]
    axes.plot([x / 1e6 for x, _ in points], [100 * y for _, y in points], "k.-")  # type: ignore[operator]
    axes.set_ylim(-3, 103)
    axes.set_ylabel("3 numbers solved, %\n(held-out problems)")
    axes.set_xlabel("tokens seen, millions")


def draw(log: Path, out: Path) -> None:
    """Write the picture: token accuracy by kind above, whole problems solved below."""
    lines = read_log(log)
    figure, (upper, lower) = plt.subplots(
        2, 1, sharex=True, figsize=(7.2, 5.4), height_ratios=(3, 2), layout="constrained")
    draw_errors(upper, lines)
    draw_solved(lower, lines)
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    upper.set_title("How plait-nano learned", loc="left")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)


def table(log: Path, workers: int) -> str:
    """What the run took and where it ended, as a table for the model's card."""
    lines = read_log(log)
    steps = [line for line in lines if "right" in line]
    last, solved = steps[-1], [line for line in lines if "s3_solved" in line][-1]
    hours = float(last["seconds"]) / 3600  # type: ignore[arg-type]
    rows = [
        ("optimizer steps", f"{last['step']:,}"),
        ("tokens", f"{last['tokens'] / 1e6:.1f} million"),  # type: ignore[operator]
        ("time", f"{hours:.2f} hours on {workers} cores, {hours * workers:.1f} core hours"),
        ("3 numbers solved, at the last check", f"{solved['s3_solved']:.1%}"),
    ]
    for kind, name in NAMES.items():
        shares = [line["right"][kind] for line in steps[-5:]]  # type: ignore[index]
        rows.append((f"tokens right at the end, {name}", f"{sum(shares) / len(shares):.2%}"))
    return "| | |\n|---|---|\n" + "\n".join(f"| {a} | {b} |" for a, b in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the learning curve of a run.")
    parser.add_argument("--run", default="nano")
    parser.add_argument("--workers", type=int, default=2, help="processes that the run had")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    log = RUNS / options.run / "log.jsonl"
    draw(log, options.out)
    print(table(log, options.workers))


if __name__ == "__main__":
    main()
