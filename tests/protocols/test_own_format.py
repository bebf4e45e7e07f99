"""A format of one's own: docs/adding-a-protocol.md word for word, and mistakes in naming one."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from plait.errors import UsageError
from plait.protocols import CATALOGUE
from plait.registry import find_protocol
from tests.cli.conftest import Shell
from tests.cli.conftest import shell as shell

DOC = (Path(__file__).parents[2] / "docs" / "adding-a-protocol.md").read_text(encoding="utf-8")
FORMAT, TRY_IT = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)
(OUTPUT,) = re.findall(r"```output\n(.*?)```", DOC, re.DOTALL)
(BLOCK,) = re.findall(r"```text\n(.*?)```", DOC, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of the page, on the path as the command line puts it there."""
    (tmp_path / "my_format.py").write_text(FORMAT)
    (tmp_path / "try_it.py").write_text(TRY_IT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_format", raising=False)
    return tmp_path


def test_the_page_forks_as_it_says(folder: Path) -> None:
    done = subprocess.run([sys.executable, "try_it.py"], capture_output=True, text=True, check=True,
                          cwd=folder)
    assert (done.stdout, done.stderr) == (OUTPUT, "")
    written = "".join(line[:36].rstrip() + "\n" for line in BLOCK.splitlines())
    assert OUTPUT.startswith(written)


def test_a_format_takes_fewer_than_thirty_lines_of_python() -> None:
    assert len(FORMAT.strip().splitlines()) < 30
    assert len(ast.parse(FORMAT).body) == 4


def test_the_command_line_finds_a_format_in_the_folder_it_is_called_in(folder: Path) -> None:
    (folder / "x.txt").write_text(OUTPUT.rpartition("answer: ")[0].rstrip("\n"))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "plait.cli", "protocols", "check", "x.txt", "--protocol",
         "my_format:TODO"], capture_output=True, text=True, check=False, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "well formed" in done.stdout
    assert "3 threads in 1 block" in done.stdout


def test_the_other_shapes_of_the_page_are_settings_that_there_are() -> None:
    table = DOC.partition("## Other shapes of blocks")[2].partition("\n## ")[0]
    names = set(re.findall(r"`([a-z_]+)(?:=[^`]*)?`", table))
    form = find_protocol("threadweaver").form
    assert {"width", "depth", "tail_close", "most"} <= names
    assert all(hasattr(form, name) for name in names)


@pytest.mark.parametrize(("name", "says"), [
    ("nowhere_at_all:TODO", "cannot import `nowhere_at_all` .*ModuleNotFoundError"),
    ("broken:TODO", "cannot import `broken` .*ZeroDivisionError: division by zero"),
    ("wrong:TODO", "cannot import `wrong` .*SyntaxError"),
    ("my_format:TWO", "`TWO` in `my_format` is no protocol: there is none"),
    ("my_format:FORMAT", "`FORMAT` in `my_format` is no protocol: it is of type BlockFormat"),
    ("my_format:", "there is no protocol `my_format:`"), (":TODO", "there is no protocol `:TODO`"),
    ("my format:TODO", "there is no protocol"), ("../my_format:TODO", "there is no protocol"),
    ("threadweaver:TODO", "is no form of the protocol `threadweaver`"),
    ("parathinker:9", "Say `parathinker:N` with N from 1 to 8"),
    ("parathinker:" + "9" * 5000, "is no form of"),
])
def test_a_name_that_names_no_format_is_one_line(folder: Path, name: str, says: str) -> None:
    (folder / "broken.py").write_text("1 / 0")
    (folder / "wrong.py").write_text("def")
    with pytest.raises(UsageError) as caught:
        find_protocol(name)
    assert re.search(says, caught.value.line)
    assert "\n" not in caught.value.line


def test_a_machine_of_ones_own_has_no_transcripts_to_check(folder: Path, shell: Shell) -> None:
    (folder / "mine.py").write_text(
        "from my_format import FACTS\nfrom plait.protocols import ThreadWeaver, Known\n"
        "MINE = Known(FACTS, ThreadWeaver)\n")
    (folder / "x.txt").write_text("words")
    status, out, err = shell("protocols", "check", "x.txt", "--protocol", "mine:MINE")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "transcripts of `todo` cannot be checked" in err
    assert "todo" not in CATALOGUE
