"""``plait view TRACE...``: runs on pages for a browser, or as files to take along."""

from __future__ import annotations

import socket
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import anyio
import typer
import uvicorn
from starlette.middleware import Middleware

from plait.cli.show import say
from plait.errors import UsageError
from plait.server.local import OnlyLocal
from plait.viewer.web import Folder, Sheet, View, alone, perfetto, viewer_app
from plait.viewer.web.pages import Places

app = typer.Typer(add_completion=False, rich_markup_mode=None)
LOCAL = "127.0.0.1"
EMPTY = "there is no trace in what was named"


@app.command()
def view(
    traces: Annotated[list[str], typer.Argument(metavar="TRACE", show_default=False, help=(
        "Files as written by `plait solve --trace FILE`, or folders of them."))],
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Write one HTML file instead, "
                                             "with everything in it.")] = None,
    perfetto_file: Annotated[str | None, typer.Option("--perfetto", metavar="FILE", help="Write a "
                                                      "trace for ui.perfetto.dev instead.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address "
                                             "only.")] = False,
) -> None:
    """Show runs in a browser: timeline, texts, decisions.

    Files that are still written move on the page. A second trace given with --html is the one to
    compare with, such as a sequential run of the same question.
    """
    folder = Folder([Path(trace) for trace in traces])
    if html is not None or perfetto_file is not None:
        _export(folder, html, perfetto_file)
        return
    _serve(folder, port, browser=not no_browser)


def _export(folder: Folder, html: str | None, perfetto_file: str | None) -> None:
    keys = folder.keys()
    if not keys:
        raise UsageError(f"{EMPTY}, so none can be written to a file",
                         hint="Name a file that `plait solve --trace FILE` wrote.")
    most = 2 if perfetto_file is None else 1
    if len(keys) > most:
        raise UsageError(f"{len(keys)} traces are given, but a file holds one run"
                         + (", or two to compare" if most == 2 else ""),
                         hint="Name the trace file.")
    sheets = anyio.run(_sheets, folder, keys)
    if html is not None:
        first = Sheet(sheets[0].entry, sheets[0].view, beside=sheets[1] if sheets[1:] else None)
        _write(html, alone(first).encode("utf-8", "replace"))
    if perfetto_file is not None:
        _write(perfetto_file, perfetto(sheets[0].view))


async def _sheets(folder: Folder, keys: Sequence[str]) -> list[Sheet]:
    """The runs of ``keys``. Raises `TraceError` for one that cannot be read."""
    found = []
    for key in keys:
        events = await folder.events(key)
        entry = await folder.entry(key)
        assert entry is not None
        found.append(Sheet(entry, View(events)))
    return found


def _write(path: str, data: bytes) -> None:
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    say(f"wrote {path}")


def _serve(folder: Folder, port: int, *, browser: bool) -> None:
    """Serve the pages on this machine until somebody stops it."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((LOCAL, port))
        except OSError as error:
            raise UsageError(f"port {port} cannot be used: {error.strerror}",
                             hint="Leave --port out to take a free one.") from error
        listening.listen()
        keys = folder.keys()
        root = f"http://{LOCAL}:{listening.getsockname()[1]}"
        address = root + (Places().run(keys[0]) if len(keys) == 1 else "/")
        if not keys:
            say(f"{EMPTY}; the page shows those that come")
        print(address, flush=True)
        if browser:
            webbrowser.open(address)
        guard = Middleware(OnlyLocal, hint=f"Open {root}/ instead.")
        pages = viewer_app(folder, middleware=[guard])
        uvicorn.Server(uvicorn.Config(pages, log_level="warning",
                                      timeout_graceful_shutdown=1)).run(sockets=[listening])
