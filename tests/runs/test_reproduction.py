"""A reproduction when something goes wrong or somebody helps: a run that fails, several machines, a kill."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bnexp.claims import CLAIMS
from bnexp.records.reader import RunRecord, find_runs
from bnexp.runs.folder import occupied

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow


@pytest.fixture
def broken_layer_norm(monkeypatch):
    """``layer`` builds and evaluates, and raises in training, as a plugin with a bug would."""
    real = torch.nn.LayerNorm.forward

    def forward(self, x):
        if self.training:
            raise RuntimeError("a plugin's bug")
        return real(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.LayerNorm, "forward", forward)
        yield patch


def statuses(runs_dir: Path) -> list[str]:
    return sorted(record.status for record in find_runs(runs_dir))


@pytest.mark.usefixtures("broken_layer_norm")
def test_failing_runs_stop_no_other_and_are_named_with_their_reason_at_the_end(bnexp, tiny_claim, tmp_path):
    tiny_claim(tuned=False)
    answer = bnexp("reproduce", "tiny", "jobs=1")
    assert answer.code == 3
    assert statuses(tmp_path / "runs") == ["failed", "failed", "finished", "finished"]
    end = answer.err[answer.err.index("2 runs failed; the same command tries them again:") :]
    for record in find_runs(tmp_path / "runs"):
        told_of = re.search(rf"^  {record.folder.name}: .*RuntimeError: a plugin's bug", end, flags=re.M)
        assert bool(told_of) == (record.status == "failed")
    assert "NOT RUN" in answer.out
    assert "2 of 4 runs missing" in answer.out
    told = end[end.index("tiny: 2 of 4 runs missing") :].splitlines()[1:]
    assert [line.split()[:2] for line in told] == [["bnexp", "train"]] * 2
    assert all("norm=layer" in line for line in told)


def test_a_failed_run_is_tried_again_and_the_rest_is_not(bnexp, tiny_claim, broken_layer_norm, tmp_path):
    tiny_claim(tuned=False)
    assert bnexp("reproduce", "tiny", "jobs=1").code == 3
    broken_layer_norm.undo()
    answer = bnexp("reproduce", "tiny", "jobs=1", "--json")
    assert answer.code == 0
    assert answer.err.count("finished in") == 2
    assert statuses(tmp_path / "runs") == ["failed", "failed", *["finished"] * 4]
    (told,) = json.loads(answer.out)
    assert (told["claim"], told["outcome"], told["missing"]) == ("tiny", "INCONCLUSIVE", [])
    assert told["endpoints"]["loss"]["word"] == "not powered"


def test_a_run_that_another_process_is_at_is_told_and_the_same_command_judges_when_that_has_ended(
    bnexp, tiny_claim, tmp_path
):
    tiny_claim(tuned=False)
    assert bnexp("reproduce", "tiny", "jobs=1").code == 0
    first = find_runs(tmp_path / "runs")[0].folder
    (first / "end.json").unlink()
    with occupied(tmp_path / "runs", first.name):
        answer = bnexp("reproduce", "tiny", "jobs=1")
    assert answer.code == 3
    assert "1 run failed, or did not end; the same command tries them again:" in answer.err
    assert re.search(rf"^  {first.name}: another process is at this very run", answer.err, flags=re.M)
    assert bnexp("reproduce", "tiny", "jobs=1").code == 0


@pytest.mark.usefixtures("broken_layer_norm")
def test_a_claim_that_cannot_be_tuned_does_not_keep_another_from_its_verdict(bnexp, tiny_claim):
    tiny_claim(id="sound", subject="norm=batch")
    tiny_claim()
    answer = bnexp("reproduce", "tiny", "sound", "jobs=1", "--json")
    assert answer.code == 3
    told = {one["claim"]: (one["outcome"], one["missing_runs"]) for one in json.loads(answer.out)}
    assert told == {"tiny": ("NOT RUN", 2), "sound": ("INCONCLUSIVE", 0)}
    assert "2 runs failed" in answer.err  # each tried once


def test_an_analysis_that_breaks_down_costs_no_other_claim_its_verdict_or_its_page(bnexp, tiny_claim, monkeypatch):
    sound, broken = tiny_claim(id="sound", tuned=False), tiny_claim(tuned=False)
    monkeypatch.setitem(CLAIMS._entries, "tiny", replace(broken, analyse=lambda *_: 1 / 0))
    answer = bnexp("reproduce", "tiny", "sound", "jobs=1")
    assert answer.code == 3
    lines = {line.split()[0]: line for line in answer.out.splitlines() if line.startswith(("tiny", "sound"))}
    assert "NOT JUDGED" in lines["tiny"]
    assert "ZeroDivisionError: division by zero (test_reproduction.py, line " in " ".join(answer.out.split())
    assert "INCONCLUSIVE" in lines["sound"]
    assert "the page: " in answer.err
    monkeypatch.setitem(CLAIMS._entries, "tiny", replace(broken, analyse=sound.analyse))
    again = bnexp("reproduce", "tiny", "jobs=1")
    assert (again.code, "finished in" in again.err) == (0, False)


def test_a_claim_is_judged_once_for_table_and_page_and_the_page_has_those_of_before(bnexp, tiny_claim, monkeypatch, tmp_path):
    tiny_claim(id="before", tuned=False)
    assert bnexp("reproduce", "before", "jobs=1").code == 0
    claim, judged = tiny_claim(tuned=False), []
    counted = replace(claim, analyse=lambda *given: judged.append(1) or claim.analyse(*given))
    monkeypatch.setitem(CLAIMS._entries, "tiny", counted)
    assert bnexp("reproduce", "tiny", "jobs=1").code == 0
    assert len(judged) == 1
    table = (tmp_path / "runs" / "report" / "table.md").read_text(encoding="utf-8")
    assert "before" in table
    assert "tiny" in table


@pytest.mark.usefixtures("broken_layer_norm")
def test_without_tuning_complete_machines_are_told_which_runs_are_missing(bnexp, tiny_claim, tmp_path):
    tiny_claim()
    answer = bnexp("reproduce", "tiny", "jobs=1", "--json")
    assert answer.code == 3
    (told,) = json.loads(answer.out)
    failed = {record.folder.name for record in find_runs(tmp_path / "runs") if record.status == "failed"}
    assert (told["outcome"], told["missing_runs"], set(told["missing"])) == ("NOT RUN", 2, failed)


def test_shards_on_one_runs_folder_do_everything_once_and_then_it_is_judged(bnexp, tiny_claim, tmp_path):
    tiny_claim()
    answers = []
    for shard in ("shard=0", "shard=1") * 2:
        answers.append(bnexp("reproduce", "tiny", "jobs=1", shard, "num_shards=2"))
        assert answers[-1].code == 0, answers[-1].err
    assert "this was shard 0 of 2; when all of them have ended, run them all again" in answers[0].err
    ended = [line for answer in answers for line in answer.err.splitlines() if "finished in" in line]
    assert len(ended) == len(statuses(tmp_path / "runs")) == 8
    judged = bnexp("reproduce", "tiny", "jobs=1")
    assert judged.code == 0
    assert "finished in" not in judged.err
    assert "not powered" in judged.out
    assert judged.out == answers[-1].out
    assert judged.err.endswith("the page: runs/report/index.html\n")
    assert "Tiny runs differ." in (tmp_path / "runs" / "report" / "index.html").read_text(encoding="utf-8")


def reproduction(folder: Path, data: Path) -> subprocess.Popen[str]:
    """A smoke reproduction of a claim with tuning and reported runs, in a process group of its own, on two processes."""
    words = ["reproduce", "fig1_speed", "budget=smoke", "jobs=2", "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "bnexp", *words],
        cwd=folder,
        env=os.environ | {"BNEXP_DATA": str(data), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def answer_of(process: subprocess.Popen[str]) -> list[dict]:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return [{**one, "seconds": 0} for one in json.loads(out)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The data folder and the answer of a reproduction that nobody disturbed."""
    data, folder = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("undisturbed")
    return data, answer_of(reproduction(folder, data))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_repeated_it_continues_to_the_same_numbers(undisturbed, tmp_path, number):
    data, expected = undisturbed
    process = reproduction(tmp_path, data)
    try:
        wait_for(lambda: len(complete(tmp_path)) >= 2, process)
    finally:
        os.killpg(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    done = complete(tmp_path)
    before = {record.folder: (record.folder / "end.json").stat().st_mtime_ns for record in done}
    assert answer_of(reproduction(tmp_path, data)) == expected
    assert len(complete(tmp_path)) > len(done)
    assert {folder: (folder / "end.json").stat().st_mtime_ns for folder in before} == before


def complete(folder: Path) -> list[RunRecord]:
    return [record for record in find_runs(folder / "runs") if record.complete]


def wait_for(condition, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
