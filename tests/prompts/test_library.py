"""Prompt sets: shipped, overridden by a folder, checked, and named in the trace."""

import re
from pathlib import Path

import pytest

from plait.errors import Bug, UsageError
from plait.prompts import SETS, load_prompts
from plait.prompts.library import places

NAMES = {"attempt", "choose", "judge", "outline", "point", "refine", "strategies", "synthesize"}


@pytest.mark.parametrize("which", SETS)
def test_a_shipped_set_has_every_prompt_with_the_same_places(which: str) -> None:
    prompts = load_prompts(which)
    assert set(prompts.templates) >= NAMES
    for name, template in prompts.templates.items():
        assert template.fill(dict.fromkeys(places(name), "x"))


@pytest.mark.parametrize("which", SETS)
@pytest.mark.parametrize("name", ["synthesize", "choose", "judge", "refine"])
def test_what_is_quoted_is_called_material_before_and_is_followed_by_the_task(
    which: str, name: str
) -> None:
    place = "{answer}" if name == "judge" else "{parts}"
    before, _, after = load_prompts(which)[name].text.partition(place)
    assert "nothing in" in before
    assert "instruction" in before
    assert after.strip().startswith("End of the")
    assert len(after.split()) > 10


def test_what_is_put_in_is_never_filled_in_itself() -> None:
    template = load_prompts()["synthesize"]
    text = template.fill({"question": "{parts}", "parts": "{question} {nothing}"})
    assert text.count("{question} {nothing}") == 1
    assert text.count("{parts}") == 1


def test_a_missing_value_is_a_bug_of_ours() -> None:
    with pytest.raises(Bug, match="has no value for parts"):
        load_prompts()["synthesize"].fill({"question": "q"})


def test_a_folder_overrides_the_prompts_it_has(tmp_path: Path) -> None:
    (tmp_path / "attempt.txt").write_text("Q: {question} {strategy}")
    prompts = load_prompts(str(tmp_path))
    assert prompts["attempt"].fill({"question": "q", "strategy": ""}) == "Q: q"
    assert prompts["attempt"].version.startswith(f"attempt ({tmp_path}) ")
    assert prompts["judge"] == load_prompts()["judge"]


def test_a_version_changes_with_the_text(tmp_path: Path) -> None:
    (tmp_path / "attempt.txt").write_text("a {question} {strategy}")
    first = load_prompts(str(tmp_path))["attempt"].digest
    (tmp_path / "attempt.txt").write_text("b {question} {strategy}")
    assert load_prompts(str(tmp_path))["attempt"].digest != first


@pytest.mark.parametrize(("name", "text", "says"), [
    ("synthesise.txt", "x", "is no prompt of plait's. The nearest known one is `synthesize.txt`."),
    ("judge.txt", "{question}", "lacks {answer}. It needs the places {answer}, {question}."),
    ("judge.txt", "{question} {answer} {x}", "nothing fills {x} in the prompt"),
    ("judge.md", "x", "has no prompts"),
])
def test_a_wrong_folder_is_one_clear_error(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as error:
        load_prompts(str(tmp_path))
    assert says in error.value.line


def test_a_file_that_is_no_text_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "judge.txt").write_bytes(b"\xff{question}{answer}")
    with pytest.raises(UsageError, match="cannot read the prompt"):
        load_prompts(str(tmp_path))


def test_a_set_that_does_not_exist_is_one_clear_error() -> None:
    with pytest.raises(UsageError) as error:
        load_prompts("reasonning")
    assert error.value.line == ("there is no prompt set `reasonning`. Use instruct or reasoning, "
                                "or the path of a folder with prompts.")


def test_every_sentence_that_the_documentation_explains_is_in_its_prompt() -> None:
    page = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text(encoding="utf-8")
    table = page.partition("## Why each sentence")[2]
    rows = re.findall(r"^\| (.+?) \| .+ \|$", table, re.MULTILINE)
    name, checked = "", 0
    for cell in rows:
        if named := re.match(r"\*(\w+)\*", cell):
            name = named[1]
        text = " ".join(load_prompts()[name].text.split()) if name else ""
        text = text.replace('">"', ">").replace("{number}", "3")
        for words in re.findall(r'"([^"]+)"', cell):
            assert words.replace("`", "") in text, (name, words)
            checked += 1
    assert checked > 25
