"""The README's own words, carried out: its example of a user's layer, and every command in it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bnexp.claims import CLAIMS
from bnexp.cli.list import GROUPS
from bnexp.cli.main import COMMANDS
from bnexp.config.compose import expand
from bnexp.report.beside import filled
from bnexp.report.markdown import answer, is_stale, markdown_table
from bnexp.report.page import gather
from bnexp.report.pictures import save_figures

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    """The one fenced block of a language that contains a phrase."""
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if containing in text]
    assert len(found) == 1, f"{len(found)} blocks contain {containing!r}"
    return found[0]


def commands() -> list[str]:
    """Everything in backticks or code blocks that starts with bnexp."""
    inline = re.findall(r"`(bnexp [^`\n]+)`", README)
    blocks = re.findall(r"^(?:\./scripts/)?(bnexp [^\n#]+)", README, re.MULTILINE)
    return sorted({command.strip() for command in inline + blocks})


def test_the_readme_has_commands_to_check():
    assert len(commands()) >= 15


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("bnexp train")])
def test_every_train_command_composes(command, monkeypatch, tmp_path):
    words = [word for word in shlex.split(command)[2:] if "=" in word]
    own = [word for word in words if "softsign" in word or "my_norm" in word]
    if own:
        pytest.skip("the user's own layer is carried out below")
    monkeypatch.chdir(tmp_path)
    assert expand(words)


def test_every_other_command_exists():
    for command in commands():
        words = shlex.split(command)
        assert words[1] in COMMANDS or words[1] == "-sc", command
        assert words[1] != "list" or words[2] in [*GROUPS, "claims", "runs"], command


@pytest.mark.slow
def test_the_example_of_a_users_own_layer_runs_as_printed(tmp_path):
    (tmp_path / "my_configs" / "norm").mkdir(parents=True)
    (tmp_path / "my_norm.py").write_text(block("python", "softsign"), encoding="utf-8")
    (tmp_path / "my_configs" / "norm" / "softsign.yaml").write_text(block("yaml", "softsign"), encoding="utf-8")
    command = shlex.split(block("sh", "my_norm"))
    done = subprocess.run(
        [sys.executable, "-m", *command, "debug=fast"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^softsign +\d", done.stdout, re.MULTILINE), done.stdout
    (header,) = tmp_path.glob("runs/*softsign*/run.json")
    recorded = shlex.split(json.loads(header.read_text())["command"])
    assert recorded[:4] == ["bnexp", "train", "--config-dir=my_configs", "plugins=[my_norm]"]


def test_the_example_is_short_enough_to_type():
    lines = [line for line in block("python", "softsign").splitlines() if line.strip()]
    assert len(lines) <= 15


def test_pictures_and_pages_that_the_readme_links_to_exist():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    local = [link for link in links if "://" not in link]
    assert local
    missing = [link for link in local if not (ROOT / link).exists()]
    assert not missing


@pytest.mark.slow
def test_the_tables_of_verdicts_and_the_answer_are_what_the_committed_records_say():
    results, claims = ROOT / "results", [CLAIMS[name] for name in CLAIMS]
    judged = {budget: gather(claims, budget, results / budget) for budget in ("quick", "full")}
    known = filled(judged["full"], {one.claim.key: [one] for one in judged["quick"] if one.primary})
    stale = [name for name, own in judged.items() if is_stale(results / name / "table.md", markdown_table(own))]
    assert not stale, f"changed, so type: bnexp report results/{stale[0]}"
    assert not is_stale(ROOT / "README.md", answer(known), markdown_table(known, short=True)), (
        "the README is not what the records say: bnexp report results/full --write-readme"
    )


@pytest.mark.slow
def test_the_picture_is_what_the_claims_draw_of_the_committed_records(tmp_path):
    judged = gather([CLAIMS[name] for name in ("fig1_speed", "fig1_stability")], "full", ROOT / "results" / "full")
    drawn = Image.open(save_figures(judged, tmp_path)["fig1"])
    kept = Image.open(ROOT / "results" / "full" / "figures" / "fig1.png")
    assert drawn.size == kept.size
    difference = np.abs(np.asarray(drawn, float) - np.asarray(kept, float)).mean()
    assert difference < 1, "the picture has changed: bnexp report results/full figures=results/full/figures"
