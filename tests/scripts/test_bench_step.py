"""``scripts/bench_step.py``: its arithmetic on made-up clocks, and the whole of it once."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_step.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_step", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_step"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bench_step"]


def line(bench, ratio, name="usual"):
    return bench.Line(name, 8.0, ratio, ratio - 1, ratio + 1)


def test_contestants_take_turns_and_the_warm_up_round_is_not_counted(bench):
    turns = []

    def contestant(name):
        def turn():
            turns.append(name)
            return 0.001 * len(turns)

        return bench.Contestant(name, turn)

    rounds = bench.measure([contestant("a"), contestant("b")], rounds=2, steps=10)
    assert "".join(turns) == "ababab"
    assert rounds == [pytest.approx([0.3, 0.4]), pytest.approx([0.5, 0.6])]


def test_ratios_are_taken_within_a_round_so_that_a_slow_round_does_not_count_for_one_side(bench):
    contestants = [bench.Contestant("usual", float), bench.Contestant(bench.UNIT, float)]
    usual, unit = bench.summarize(contestants, [[8.0, 1.0], [80.0, 10.0], [7.0, 1.0]])
    assert (usual.milliseconds, usual.ratio, usual.least, usual.most) == (8.0, 8.0, 7.0, 8.0)
    assert (unit.milliseconds, unit.ratio) == (1.0, 1.0)


def test_the_table_has_one_line_each_of_equal_width(bench):
    lines = bench.table([line(bench, 7.5), line(bench, 1.0, "bnexp")]).splitlines()
    assert len({len(text) for text in lines}) == 1
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == ["usual", "8.00", "7.50", "6.50..8.50"]


@pytest.mark.parametrize(("ratio", "verdict"), [(7.0, ": met (7.0 times"), (6.9, ": NOT met (6.9 times")])
def test_the_acceptance_line_says_met_from_seven_on(bench, ratio, verdict):
    sentence = "A training step (`execution.compile=on`) is at least 7 times faster than the usual torchvision + DataLoader loop"
    assert bench.acceptance([line(bench, ratio)]).startswith(sentence + verdict)


def test_the_page_names_no_place_of_the_machine(bench):
    text = bench.page([line(bench, 7.5)], "some digits", rounds=5, steps=300, load=0.1)
    assert "`python scripts/bench_step.py --rounds 5 --steps 300`" in text
    assert str(Path.home()) not in text
    assert str(SCRIPT.parents[1]) not in text


def test_digits_that_are_repeated_look_like_torchvisions(bench):
    import torch

    images = torch.arange(2 * 4, dtype=torch.uint8).view(2, 2, 2)
    digits = bench.RepeatedDigits(images, torch.tensor([3, 7]), 5, lambda image: image)
    assert len(digits) == 5
    image, target = digits[3]
    assert (image.mode, list(image.tobytes()), target) == ("L", [4, 5, 6, 7], 7)


@pytest.mark.slow
def test_it_runs_and_prints_the_table(tmp_path):
    out = tmp_path / "page" / "step.md"
    options = ["--rounds", "1", "--steps", "5", "--data-dir", str(tmp_path), "--out", str(out)]
    command = [sys.executable, str(SCRIPT), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = [text for text in done.stdout.splitlines() if text.startswith("|")]
    assert len(table) == 2 + 8
    assert all(text in out.read_text(encoding="utf-8") for text in table)
    assert "torchvision + DataLoader loop: " in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "page"]  # parsed digits are kept as ever


def test_a_number_of_rounds_below_one_is_refused(bench, capsys):
    with pytest.raises(SystemExit) as stop:
        bench.main(["--rounds", "0"])
    assert stop.value.code == 2
    assert "--rounds: must be at least 1, got 0" in capsys.readouterr().err
