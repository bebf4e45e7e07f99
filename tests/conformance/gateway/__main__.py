"""``python -m tests.conformance.gateway --base-url URL --model NAME``: judge any gateway.

Point the gateway's engine at http://127.0.0.1:8901/v1 (``--upstream-port``), model ``tiny``, and
the suite sees both of its sides. ``--upstream-port 0``: it is not behind the gateway. Exit status
1 if a case failed, 2 for a wrong argument.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp
import orjson

from tests.conformance.gateway.case import CASES, Target
from tests.conformance.gateway.client import Client
from tests.conformance.gateway.report import as_data, print_table
from tests.conformance.gateway.run import Verdict, run_all, stage

PORT = 8901


def header(text: str) -> tuple[str, str]:
    """``NAME: VALUE``."""
    name, colon, value = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is no header; write 'NAME: VALUE'")
    return name.strip(), value.strip()


def fields(text: str) -> Mapping[str, object]:
    """A JSON object."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("give a JSON object")
    return value


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments; ends the program for wrong ones."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance.gateway",
        description="Is this server a drop-in OpenAI endpoint?")
    parser.add_argument("--base-url", help="of the gateway, ends with /v1")
    parser.add_argument("--model", default="tiny", help="a name that makes one call (%(default)s)")
    parser.add_argument("--parallel-model", help="a name that makes several calls a question")
    parser.add_argument("--key", help="a key that it takes; cases about keys are judged with one")
    parser.add_argument("--header", action="append", type=header, default=[],
                        help="goes with every request: 'NAME: VALUE'")
    parser.add_argument("--parallel-header", action="append", type=header, default=[],
                        help="goes with requests to --parallel-model instead")
    parser.add_argument("--parallel-fields", type=fields, default={},
                        help="JSON, further fields of requests to --parallel-model")
    parser.add_argument("--deadline-header", help="its header for a deadline in seconds")
    parser.add_argument("--upstream-port", type=int, default=PORT,
                        help="where the suite listens as the gateway's engine (%(default)s); "
                             "0: it does not")
    parser.add_argument("--only", action="append", default=[],
                        help="cases whose names begin so; may be given again")
    parser.add_argument("--json", type=Path, help="write the results here too")
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    given = parser.parse_args(arguments)
    if not given.list and not given.base_url:
        parser.error("--base-url is missing")
    return given


async def run(given: argparse.Namespace, target: Target) -> list[Verdict]:
    """All verdicts, told as they come."""
    async with Client() as client:
        try:
            await client.get(f"{target.base_url}/models")
        except aiohttp.ClientError as error:
            sys.exit(f"nothing answers at {target.base_url}: {error}")
    upstream = stage() if given.upstream_port else None
    if upstream is not None:
        await upstream.listen(given.upstream_port)
    try:
        verdicts = []
        async for verdict in run_all(target, upstream, only=given.only):
            print(f"{verdict.result:>10}  {verdict.case.name}  {verdict.why}", file=sys.stderr)
            verdicts.append(verdict)
        return verdicts
    finally:
        if upstream is not None:
            await upstream.stop()


def main() -> int:
    given = parse(sys.argv[1:])
    if given.list:
        for case in CASES:
            print(f"{case.name:28} {case.checks}\n{'':28} for: {case.why}")
        return 0
    target = Target("gateway", given.base_url.rstrip("/"), given.model, given.parallel_model,
                    given.key, dict(given.header), dict(given.parallel_header),
                    given.parallel_fields, given.deadline_header)
    verdicts = asyncio.run(run(given, target))
    print_table(target, verdicts)
    if given.json:
        given.json.write_bytes(orjson.dumps(as_data(target, verdicts),
                                            option=orjson.OPT_INDENT_2))
    return int(any(verdict.result == "fail" for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
