"""The README's table: put between markers, and known to be stale when it is."""

from __future__ import annotations

import pytest

from bnexp.errors import UserError
from bnexp.report.page import BEGIN, END, is_stale, markdown_table, replace_table


@pytest.fixture
def readme(tmp_path):
    file = tmp_path / "README.md"
    file.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nafter | <b>\n", encoding="utf-8")
    return file


def test_the_table_replaces_what_is_between_the_markers_and_nothing_else(world, readme):
    replace_table(readme, markdown_table(world.judged))
    text = readme.read_text(encoding="utf-8")
    assert text == f"# Title\n\n{markdown_table(world.judged)}\n\nafter | <b>\n"


def test_a_table_is_stale_until_it_is_replaced_and_again_when_a_verdict_changes(world, readme):
    table = markdown_table(world.judged)
    assert is_stale(readme, table)
    replace_table(readme, table)
    assert not is_stale(readme, table)
    assert is_stale(readme, markdown_table(world.judged[1:]))


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_file_without_one_place_for_the_table_is_refused_untouched(tmp_path, text):
    file = tmp_path / "README.md"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        replace_table(file, "new")
    assert str(error.value) == (
        f"there is no place for the verdict table\n  got: {file}\n  try: write {BEGIN} and {END} on lines of their own, once"
    )
    assert file.read_text() == text


def test_every_row_has_the_columns_of_the_heading(world):
    rows = [line for line in markdown_table(world.judged).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(world.judged)
    assert {line.replace("\\|", "").count("|") for line in rows} == {8}


def test_every_outcome_stands_there_in_bold_with_its_sign(world):
    table = markdown_table(world.judged)
    assert all(
        words in table for words in ("✓ **SUPPORTED**", "✗ **CONTRADICTED**", "? **INCONCLUSIVE**", "– **NOT RUN**")
    )
    assert "&lt;angle brackets>" in table


def test_the_written_table_is_the_one_for_the_readme(world):
    assert world.written.table.read_text(encoding="utf-8") == markdown_table(world.judged) + "\n"
