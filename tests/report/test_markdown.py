"""The README's table: put between markers, and known to be stale when it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bnexp.errors import UserError
from bnexp.report.markdown import BEGIN, END, STABILITY, is_stale, markdown_table, put


@pytest.fixture
def readme(tmp_path):
    file = tmp_path / "README.md"
    file.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nafter | <b>\n", encoding="utf-8")
    return file


def test_the_table_replaces_what_is_between_the_markers_and_nothing_else(world, readme):
    put(readme, markdown_table(world.judged))
    text = readme.read_text(encoding="utf-8")
    assert text == f"# Title\n\n{markdown_table(world.judged)}\n\nafter | <b>\n"


def test_a_table_is_stale_until_it_is_replaced_and_again_when_a_verdict_changes(world, readme):
    table = markdown_table(world.judged)
    assert is_stale(readme, table)
    put(readme, table)
    assert not is_stale(readme, table)
    assert is_stale(readme, markdown_table(world.judged[1:]))
    assert not is_stale(readme, markdown_table([one for one in world.judged if not one.claim.variant]))


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_file_without_one_place_for_the_table_is_refused_untouched(tmp_path, text):
    file = tmp_path / "README.md"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        put(file, "new")
    assert str(error.value) == (
        f"there is no place for the verdict table\n  got: {file}\n  try: write {BEGIN} and {END} on lines of their own, once"
    )
    assert file.read_text() == text


def test_every_row_has_the_columns_of_the_heading(world):
    rows = [line for line in markdown_table(world.judged).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 9 + 1  # nine claims about training, and all of algebra
    assert {line.replace("\\|", "").count("|") for line in rows} == {4}
    assert rows[0] == "| claim | verdict | effect [95 % interval] |"


def test_every_outcome_stands_there_in_bold_with_its_sign(world):
    table = markdown_table(world.judged)
    assert all(
        words in table for words in ("✓ **SUPPORTED**", "✗ **CONTRADICTED**", "? **INCONCLUSIVE**", "– **NOT RUN**")
    )
    assert "&lt;angle brackets>" in table


@pytest.mark.slow
def test_the_written_table_is_the_one_for_the_readme(world):
    assert world.written.table.read_text(encoding="utf-8") == markdown_table(world.judged) + "\n"


def test_a_verdict_stands_there_with_its_stability_and_an_effect_with_its_unit(world):
    table = markdown_table(world.judged)
    assert '(`refuted`) | ✗ **CONTRADICTED**, too small; supported: "late"; again in 100 % | 0.010 points [-0.001,' in table
    assert "(`fragile`) | ✓ **SUPPORTED**, as claimed; fragile, 5" in table
    assert table.count(STABILITY) == 1
    assert STABILITY not in markdown_table([world.of("identity"), world.of("missing")])


def test_all_of_algebra_is_one_line_that_names_what_does_not_hold(world):
    identity = world.of("identity")
    wrong = replace(identity, verdicts={"error": replace(identity.primary, outcome="CONTRADICTED")})
    others = [world.named("identity", "second"), replace(wrong, claim=replace(wrong.claim, id="wrong"))]
    (line,) = [line for line in markdown_table([identity, *others]).splitlines() if "`identity`" in line]
    assert line == (
        "| 3 claims of algebra and counting: no exception in 400 cases (`identity`, `second`); contradicted: `wrong` "
        "| ✓ **SUPPORTED** 2, ✗ **CONTRADICTED** 1 | exact: nothing is estimated |"
    )
    assert "no exception" not in markdown_table(others[1:])
