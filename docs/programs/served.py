"""A gateway from its start to its end: `plait serve` on the embedded engine, asked as any client of
OpenAI's API asks, told what the answer was worth, and looked at as a monitor does. The run stays in
`runs.sqlite`, for `plait feedback export`."""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any
from urllib.request import urlopen

QUESTION = "Make 92 from 46, 39, 29 and 20"
SERVE = [sys.executable, "-m", "plait.cli", "serve", "--port", "0", "--store", "runs.sqlite"]


def post(url: str, body: Mapping[str, Any]) -> Any:
    """The reply's JSON."""
    with urlopen(url, json.dumps(body).encode(), timeout=60) as reply:
        return json.load(reply)


def talk(root: str) -> None:
    """One question, one rating, one look at the page of its run and at the metrics."""
    reply = post(f"{root}/v1/chat/completions", {
        "model": "plait-nano", "messages": [{"role": "user", "content": QUESTION}]})
    run = reply["plait"]["run"]
    print("answer   ", reply["choices"][0]["message"]["content"])
    print("plait    ", ", ".join(f"{name} {reply['plait'][name]}" for name in (
        "method", "threads", "critical_path_tokens", "wasted_tokens", "fallback")))
    post(f"{root}/v1/feedback", {"run": run, "rating": 1, "comment": "right"})
    with urlopen(f"{root}/runs/{run}", timeout=60) as page:
        print("page     ", f"/runs/{run}, {len(page.read()):,} bytes")
    with urlopen(f"{root}/metrics", timeout=60) as metrics:
        for line in metrics.read().decode().splitlines():
            if line.startswith(("plait_runs_total", "plait_feedback_total")):
                print("metrics  ", line)


def main() -> None:
    """Serve, talk, and end as a service manager would: by SIGTERM."""
    with subprocess.Popen(SERVE, stderr=subprocess.PIPE, text=True) as gateway:
        assert gateway.stderr is not None
        line = gateway.stderr.readline().strip()
        print(line)
        try:
            talk(line.split("/v1")[0].split()[-1])
        finally:
            gateway.terminate()
    print("exit     ", gateway.returncode)


if __name__ == "__main__":
    main()
