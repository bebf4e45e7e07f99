"""`plait key NAME`: a new key for a client of the gateway."""

from __future__ import annotations

from typing import Annotated

import typer

from plait.cli.show import say
from plait.errors import UsageError
from plait.server.keys import hash_key, new_key

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is: letters, digits, "
                                                        "- and _.")],
) -> None:
    """Make a key for a client of the gateway: `plait key ada >> keys.toml`.

    What the gateway has to know goes to standard output, to be added to its file of keys; the key
    itself is shown once, on standard error.
    """
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise UsageError(f"{name!r:.40} is no name for a key", hint="Use letters, digits, - and _.")
    made = new_key()
    say(f"the key, shown only now: {made}")
    print(f"[keys.{name}]\nsha256 = \"{hash_key(made)}\"")
