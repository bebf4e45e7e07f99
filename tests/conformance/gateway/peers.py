"""``python -m tests.conformance.gateway.peers``: plait and its peers, side by side, one command.

Each gateway is started on this machine as its documentation says, in front of the suite's own
upstream, asked every case, and ended. ``--markdown FILE`` writes the table into a page, as
docs/gateway-conformance.md shows it. `peers.sh` installs the others; those that are not there are
left out, and said to be.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson

from plait.server.keys import hash_key
from tests.conformance.gateway.case import Target
from tests.conformance.gateway.client import Client
from tests.conformance.gateway.report import as_data, as_markdown, count
from tests.conformance.gateway.run import Verdict, run_all, stage

ROOT = Path(__file__).parents[3]
PEERS = ROOT / ".live" / "peers"
START_SECONDS = 90.0
MARK = "<!-- made by `python -m tests.conformance.gateway.peers --markdown FILE` -->"
"""What stands in a page before the table; what stands above it is kept."""
KEY = "client-key-of-the-suite"
"""What clients show the gateway; the engine's own key is another one."""
ENGINE_KEY = "sk-key-of-the-engine"


@dataclass(frozen=True)
class Peer:
    """A gateway: how it is started on ``port`` before an upstream, and how it is asked.

    ``ready`` is the path that answers once it is up; ``configure`` what is posted then.
    """

    name: str
    package: str
    python: Path
    command: Callable[[str, int, Path], Sequence[str]]
    target: Callable[[str], Target]
    ready: str = "/health"
    environment: Mapping[str, str] = field(default_factory=dict)
    configure: Callable[[str], tuple[str, object]] | None = None

    @property
    def version(self) -> str:
        """Of the installed package; empty if it is not installed."""
        if not self.python.exists():
            return ""
        found = subprocess.run(
            [self.python, "-c",
             f"from importlib.metadata import version; print(version({self.package!r}))"],
            capture_output=True, text=True, check=False)
        return found.stdout.strip()


def program(name: str, script: str) -> Path:
    """A script of a peer's virtual environment."""
    return PEERS / name / "bin" / script


def litellm(upstream: str, port: int, folder: Path) -> Sequence[str]:
    """Its proxy with a configuration file, as for a vLLM server, with a master key."""
    config = folder / "litellm.yaml"
    config.write_text(f"""
model_list:
  - model_name: tiny
    litellm_params:
      model: hosted_vllm/tiny
      api_base: {upstream}/v1
      api_key: {ENGINE_KEY}
      use_chat_completions_api: true  # the engine behind it has no /v1/responses of its own
litellm_settings:
  callbacks: ["prometheus"]
  require_auth_for_metrics_endpoint: false
router_settings:
  disable_cooldowns: true  # there is one engine, and it fails on purpose
  num_retries: 0
general_settings:
  master_key: {KEY}
""")
    return [str(program("litellm", "litellm")), "--config", str(config), "--host", "127.0.0.1",
            "--port", str(port)]


def optillm(upstream: str, port: int, folder: Path) -> Sequence[str]:
    """Its server, with a key for clients; approaches are chosen by the model's name."""
    return [str(program("optillm", "optillm")), "--base-url", f"{upstream}/v1", "--port",
            str(port), "--optillm-api-key", KEY]


def its_hub(upstream: str, port: int, folder: Path) -> Sequence[str]:
    """Its service; what it does is told over HTTP once it is up."""
    return [str(program("its_hub", "its-iaas")), "--port", str(port)]


def plait(upstream: str, port: int, folder: Path) -> Sequence[str]:
    """`plait serve` with a file of keys, as `plait key` writes it."""
    keys = folder / "keys.toml"
    keys.write_text(f'[keys.suite]\nsha256 = "{hash_key(KEY)}"\n')
    return [sys.executable, "-m", "plait.cli", "serve", "--engine", upstream, "--port", str(port),
            "--keys", str(keys), "--store", str(folder / "runs.db")]


def bare(upstream: str, port: int, folder: Path) -> Sequence[str]:
    """A proxy that only passes bytes on: what a gateway has to add to."""
    return [sys.executable, "-m", "benchmarks.bare_proxy", upstream, str(port)]


ALL = [
    Peer("plait", "plait", Path(sys.executable), plait,
         lambda url: Target("plait", url, "tiny", "plait/explore:tiny", KEY,
                            deadline="x-plait-deadline"),
         environment={"OPENAI_API_KEY": ENGINE_KEY}),
    Peer("LiteLLM", "litellm", program("litellm", "python"), litellm,
         lambda url: Target("LiteLLM", url, "tiny", key=KEY, deadline="x-litellm-timeout"),
         ready="/health/liveliness", environment={"DISABLE_ADMIN_UI": "True"}),
    Peer("optillm", "optillm", program("optillm", "python"), optillm,
         lambda url: Target("optillm", url, "tiny", "mars-tiny", key=KEY),
         environment={"OPENAI_API_KEY": ENGINE_KEY}),
    Peer("its_hub", "its_hub", program("its_hub", "python"), its_hub,
         lambda url: Target("its_hub", url, "tiny", "tiny", KEY,
                            headers={"X-Its-Budget": "1"}),
         ready="/v1/models",
         configure=lambda upstream: ("/configure", {
             "endpoint": f"{upstream}/v1", "api_key": ENGINE_KEY, "model": "tiny",
             "alg": "self-consistency", "regex_patterns": [r"(\d+)"], "budget": 4})),
    Peer("bare proxy", "aiohttp", Path(sys.executable), bare,
         lambda url: Target("bare proxy", url, "tiny", key=KEY), ready="/v1/models"),
]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def started(peer: Peer, upstream: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The gateway's process, ended with the context. Its output goes to ``.live/peers/NAME.log``"""
    PEERS.mkdir(parents=True, exist_ok=True)
    log = PEERS / f"{peer.package}-run.log"
    with tempfile.TemporaryDirectory() as folder, log.open("wb") as out:
        process = subprocess.Popen(
            peer.command(upstream, port, Path(folder)), stdout=out, stderr=out, cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **peer.environment})
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def wait_ready(peer: Peer, process: subprocess.Popen[bytes], url: str) -> None:
    """Wait until it answers; end the program if it does not."""
    async with Client() as client, asyncio.timeout(START_SECONDS):
        while process.poll() is None:
            try:
                if (await client.get(url + peer.ready)).status < 500:
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)
    sys.exit(f"{peer.name} did not start; see {PEERS}/{peer.package}-run.log")


async def examine(peer: Peer, only: Sequence[str]) -> tuple[Target, list[Verdict]]:
    """Start it, ask every case, end it."""
    upstream = stage()
    await upstream.listen()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    verdicts = []
    try:
        with started(peer, upstream.url, port) as process:
            await wait_ready(peer, process, url)
            if peer.configure is not None:
                path, body = peer.configure(upstream.url)
                async with Client() as client:
                    answer = await client.post(url + path, body)
                if answer.status != 200:
                    sys.exit(f"{peer.name} cannot be configured: {answer.text}")
            target = peer.target(f"{url}/v1")
            async for verdict in run_all(target, upstream, only=only):
                print(f"{peer.name:12} {verdict.result:>10}  {verdict.case.name}  {verdict.why}",
                      file=sys.stderr, flush=True)
                verdicts.append(verdict)
    finally:
        await upstream.stop()
    return target, verdicts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.gateway.peers",
                                     description="Several gateways, side by side.")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(p.name for p in ALL)}")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    known = {peer.name: peer for peer in ALL}
    unknown = [name for name in given.names if name not in known]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    columns: dict[str, list[Verdict]] = {}
    data = []
    for peer in [known[name] for name in given.names] or ALL:
        version = peer.version
        if not version:
            print(f"{peer.name} is not installed; see tests/conformance/gateway/peers.sh")
            continue
        target, verdicts = asyncio.run(examine(peer, given.only))
        columns[f"{peer.name} {version}"] = verdicts
        data.append({**as_data(target, verdicts), "version": version})
    for name, verdicts in columns.items():
        print(f"{name:24} {count(verdicts)} judged cases pass")
    if given.json:
        given.json.write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2))
    if given.markdown:
        before = given.markdown.read_text().partition(MARK)[0] if given.markdown.exists() else ""
        given.markdown.write_text(f"{before}{MARK}\n\n{as_markdown(columns)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
