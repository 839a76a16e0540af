"""``scripts/gallery.py``: every recipe of README is in the gallery or said to be left out, with command and picture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def gallery():
    import gallery

    return gallery


@pytest.fixture
def page() -> str:
    return (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")


def test_every_recipe_is_carried_out_or_said_to_be_left_out(gallery):
    rows = re.findall(r"^\| (\d+) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert list(gallery.recipes()) == [int(number) for number in rows]
    assert sorted([*gallery.ENTRIES, *gallery.LEFT_OUT]) == sorted(gallery.recipes())


def test_the_page_has_readmes_commands_as_they_are_now(gallery, page):
    known = gallery.recipes()
    expected = [f"{known[number][1]} {entry.words}".strip() for number, entry in gallery.ENTRIES.items()]
    assert re.findall(r"```sh\n(.*)\n```", page) == expected
    assert page.endswith(gallery.left_out(known))


def test_pictures_are_small_and_all_are_shown(gallery, page):
    files = sorted((ROOT / "docs" / "gallery").iterdir())
    assert [f"gallery/{file.name}" for file in files] == re.findall(r"!\[.*\]\((.*)\)", page)
    sizes = [file.stat().st_size for file in files]
    assert max(sizes) <= gallery.MOST_BYTES
    assert sum(sizes) <= gallery.MOST_BYTES_IN_ALL
