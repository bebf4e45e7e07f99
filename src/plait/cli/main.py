"""The command line itself: which commands there are, and how each ends.

Commands are loaded when they are called, so that ``plait --version`` and ``plait --help`` do not
wait for engines. Every error becomes one line on standard error and an exit status; what a status
means is written in `plait.errors`.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from plait.errors import PlaitError, UsageError
from plait.version import VERSION

COMMANDS = {
    "solve": ("plait.cli.solve", "Answer one question, in parallel where the model can."),
    "serve": ("plait.cli.serve", "Serve an OpenAI-compatible API: the gateway."),
    "key": ("plait.cli.key", "Make a key for a client of the gateway."),
    "engine": ("plait.cli.engine", "Find out what an engine can do, and what to do about it."),
    "protocols": ("plait.cli.protocols", "List the wire formats that models fork in."),
    "eval": ("plait.cli.evaluate", "Put the same problems to several methods, and compare."),
    "analyze": ("plait.cli.analyze", "Say where parallel threads would help."),
    "tune": ("plait.cli.tune", "Search for the settings that do best, and confirm them."),
    "ab": ("plait.cli.ab", "Compare two policies, until one is known to be better."),
    "feedback": ("plait.cli.feedback", "Export what users said of the gateway's runs."),
    "trace": ("plait.cli.trace", "Show a recorded run: its tree, its numbers, its timeline."),
    "view": ("plait.cli.view", "Show runs in a browser, or write one to send to somebody."),
}
INTERRUPTED = 130
BROKEN_PIPE = 141


class LazyGroup(TyperGroup):
    """Commands of `COMMANDS`, each imported when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        return typer.main.get_command(import_module(COMMANDS[cmd_name][0]).app)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise UsageError(f"there is no command `{args[0]}`",
                             hint=f"Known: {', '.join(COMMANDS)}.")
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=LazyGroup, add_completion=False, rich_markup_mode=None,
                  pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"plait {VERSION}")
        raise typer.Exit


@app.callback()
def plait(
    version: Annotated[bool, typer.Option(
        "--version", is_eager=True, callback=_print_version, help="Print the version and exit.",
    )] = False,
) -> None:
    """Adaptive parallel reasoning: threads that fork, run side by side and join."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the program with its exit status."""
    sys.path.append("")  # the folder it is called in, last: `--protocol module:NAME` may lie there
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """The exit status of one command. Prints errors; raises nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal without some sign shows a `?` for it
            stream.reconfigure(errors="replace")
    try:
        status = app(args=list(arguments) or ["--help"], prog_name="plait", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except (BrokenPipeError, SystemExit):  # typer leaves with SystemExit for a broken pipe only
        _forget_stdout()
        return BROKEN_PIPE
    except typer.TyperException as error:
        return _fail_to_parse(error)
    except PlaitError as error:
        return _fail(error.line, error.exit_status)
    except Exception as error:  # noqa: BLE001 - boundary: a person gets a line, not a traceback
        return _report_bug(error)
    if status == INTERRUPTED:
        return _fail("stopped", INTERRUPTED)
    return status if isinstance(status, int) else 0


def _fail(line: str, status: int) -> int:
    print("plait:", " ".join(line.split()), file=sys.stderr)
    return status


def _fail_to_parse(error: typer.TyperException) -> int:
    """Say what is wrong with the command line, and whose help says how it would be right."""
    context = getattr(error, "ctx", None)
    name = "plait" if context is None else context.command_path
    return _fail(f"{_sentence(error.format_message())}. See `{name} --help`.", 2)


def _report_bug(error: Exception) -> int:
    """Say that plait itself is at fault. An error that tasks wrapped in groups is taken out."""
    inner: BaseException = error
    while isinstance(inner, BaseExceptionGroup) and inner.exceptions:
        inner = inner.exceptions[0]
    if isinstance(inner, PlaitError):
        return _fail(inner.line, inner.exit_status)
    if os.environ.get("PLAIT_DEBUG"):
        traceback.print_exception(error)
    return _fail(f"internal error: {type(inner).__name__}: {inner}. "
                 "This is a bug in plait; PLAIT_DEBUG=1 shows where.", 1)


def _forget_stdout() -> None:
    """Nobody reads any more: keep the interpreter from complaining when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _sentence(message: str) -> str:
    """A message of the parser in the tone of the other ones."""
    return (message[:1].lower() + message[1:]).rstrip(".")
