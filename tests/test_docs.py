"""docs/: links lead somewhere, files that are named exist, every claim has its entry, and the example for notebooks runs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bnexp.claims import CLAIMS

ROOT = Path(__file__).resolve().parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
ANCHORS = re.findall(r'<a id="([^"]+)"></a>', (ROOT / "docs" / "claims.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", DOCS, ids=lambda file: file.name)
def test_links_lead_to_files_and_to_entries(file):
    for link in re.findall(r"\]\(([^)]+)\)", file.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (file.parent / name) if name else file
        assert target.exists(), link
        if anchor and target.name == "claims.md":
            assert anchor in ANCHORS, link


def test_files_that_the_design_names_exist():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([\w./]+\.py)`", text) if "NAME" not in name}
    assert len(named) > 15
    missing = [n for n in named if not ((ROOT / n).exists() or (ROOT / "bnexp" / n).exists())]
    assert not missing


def test_every_claim_has_its_entry_and_is_named_there():
    text = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    assert len(ANCHORS) == len(set(ANCHORS))
    for claim in (CLAIMS[name] for name in CLAIMS):
        assert f"`{claim.id}`" in text, claim.id
        numbers = re.findall(r"[A-O]\d+(?:\.\d+)?", claim.section)
        assert all(number.lower() in ANCHORS for number in numbers), claim.section


def test_what_the_code_cites_is_in_docs_claims():
    cited = set()
    for file in (ROOT / "bnexp").rglob("*.py"):
        cited |= set(re.findall(r"docs/claims\.md,? ([A-O]?\d+(?:\.\d+)*)", file.read_text(encoding="utf-8")))
    assert {number.lower() for number in cited} <= set(ANCHORS)


@pytest.mark.slow
def test_the_example_for_notebooks_runs_as_printed(tmp_path):
    text = (ROOT / "docs" / "records.md").read_text(encoding="utf-8")
    words = re.search(r"^bnexp (train .*)$", text, re.MULTILINE).group(1).split()
    subprocess.run([sys.executable, "-m", "bnexp", *words], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    program = "import matplotlib\nmatplotlib.use('Agg')\n" + "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert "seeds arrived" in done.stdout
    assert (tmp_path / "accuracy.png").is_file()


def test_json_in_records_md_is_json():
    for block in re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "records.md").read_text(encoding="utf-8"), re.DOTALL):
        lines = block.strip().splitlines()
        if not all(line.startswith("{") and line.endswith("}") for line in lines):
            lines = [block]
        for line in lines:
            json.loads(line)
