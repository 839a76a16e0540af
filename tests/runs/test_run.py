"""One run: skipped when complete, opened beside when forced or failed, alone in its folder, told apart by its ending."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bnexp.cli.table import _test_rows
from bnexp.compare.table import Question, compare
from bnexp.config.compose import compose
from bnexp.config.identity import completed, computed
from bnexp.engine import build as building
from bnexp.engine import loop
from bnexp.engine import step as stepping
from bnexp.engine.evaluate import evaluate
from bnexp.errors import UserError
from bnexp.records.reader import RunRecord
from bnexp.records.rows import read_rows
from bnexp.records.writer import RunWriter
from bnexp.runs import many, summary
from bnexp.runs import run as running
from bnexp.runs.folder import Held, Place, occupied
from bnexp.runs.price import find_prices
from bnexp.runs.run import execute


@pytest.fixture
def runs(tmp_path: Path) -> Callable[[], list[RunRecord]]:
    """All records in the runs folder, whatever became of them."""
    return lambda: [RunRecord(path) for path in sorted((tmp_path / "runs").glob("*")) if path.is_dir()]


@pytest.fixture
def breaking(monkeypatch):
    """Makes the update after ``good`` good ones raise ``error``."""

    def arrange(error: BaseException, good: int) -> None:
        real, count = stepping.train_step, iter(range(10**6))

        def step(*arguments):
            if next(count) >= good:
                raise error
            return real(*arguments)

        monkeypatch.setattr(stepping, "train_step", step)

    return arrange


def test_a_finished_run_has_its_whole_record_and_nothing_else(make, files_below):
    result = execute(make("probes=light"), ["norm=batch"])
    files = files_below(result.record.folder)
    tensorboard = [name for name in files if name.startswith("tb/")]
    assert [name for name in files if name not in tensorboard] == [
        "end.json",
        "events.jsonl",
        "probes/layer_inputs.npz",
        "run.json",
    ]
    assert len(tensorboard) == 1
    assert result.record.status == "finished"


def test_same_seed_same_machine_is_bitwise_the_same_record_apart_from_the_clock(make, without_clock):
    first, second = (execute(make("probes=light", "force=true")).record for _ in range(2))
    assert first.folder != second.folder
    assert without_clock(first.folder) == without_clock(second.folder)
    assert (first.folder / "probes/layer_inputs.npz").read_bytes() == (
        second.folder / "probes/layer_inputs.npz"
    ).read_bytes()
    ends = [
        {**record.end, "seconds": 0, "step_ms": 0, "peak_memory_mb": 0, "events": 0, "targets": 0}
        for record in (first, second)
    ]
    assert ends[0] == ends[1]


def test_a_complete_run_is_not_trained_again(make, breaking):
    folder = execute(make()).record.folder
    breaking(AssertionError("trained again"), good=0)
    again = execute(make())
    assert (again.skipped, again.record.folder) == (True, folder)


def test_force_runs_it_again_beside_the_old_one_which_stays(make):
    first = execute(make()).record
    before = {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()}
    second, third = (execute(make("force=true")) for _ in range(2))
    assert [record.folder.name for record in (second.record, third.record)] == [
        f"{first.folder.name}.{n}" for n in (2, 3)
    ]
    assert not second.skipped
    assert {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()} == before
    assert execute(make()).record.folder == third.record.folder


def test_the_header_says_how_to_do_it_again_and_what_may_be_compared(make):
    headers = [execute(make(f"norm={norm}"), [f"norm={norm}", "threads=1"]).record.header for norm in ("none", "batch")]
    assert headers[1]["command"] == "bnexp train norm=batch"
    assert headers[0]["hashes"] == headers[1]["hashes"]
    assert set(headers[0]["hashes"]["init"]) == {"hidden1.linear", "hidden2.linear", "hidden3.linear", "output"}
    assert {key: headers[0]["data"][key] for key in ("train", "validation", "test")} == {
        "train": 200,
        "validation": 47,
        "test": 53,
    }
    assert headers[0]["arm_id"] != headers[1]["arm_id"]
    assert "runs_dir" not in headers[0]["config"]


def test_the_header_is_on_disk_before_the_first_step(make, runs, breaking):
    breaking(KeyboardInterrupt(), good=0)
    with pytest.raises(KeyboardInterrupt):
        execute(make())
    (record,) = runs()
    assert record.header["run_id"] == record.folder.name
    assert record.status == "interrupted"


def test_a_failed_run_keeps_its_traceback_and_the_next_call_opens_a_new_folder(make, breaking, monkeypatch):
    breaking(RuntimeError("a plugin's bug"), good=3)
    failed = execute(make())
    assert (failed.status, failed.reason) == ("failed", "RuntimeError: a plugin's bug")
    folder = failed.record.folder
    assert "raise error\n" in (folder / "error.txt").read_text(encoding="utf-8")
    assert RunRecord(folder).end == {"status": "failed", "reason": "RuntimeError: a plugin's bug"}
    monkeypatch.undo()
    again = execute(make())
    assert (again.skipped, again.record.folder.name) == (False, f"{folder.name}.2")
    assert (folder / "error.txt").exists()
    assert execute(make()).skipped


@pytest.mark.parametrize("lose", ["all", "the last line", "the file"])
def test_a_complete_run_that_lost_events_is_damaged_and_done_again_beside_it(make, lose):
    first = execute(make()).record
    file = first.folder / "events.jsonl"
    whole = file.read_bytes()
    kept = {"all": b"", "the last line": whole[: whole.rindex(b"\n", 0, -1) + 1], "the file": None}[lose]
    file.unlink()
    if kept is not None:
        file.write_bytes(kept)
    record = RunRecord(first.folder)
    problem = f"events.jsonl has {len(kept or b''):,} of {len(whole):,} bytes"
    assert (record.status, record.damage) == ("damaged", problem)
    (row,) = read_rows(first.folder.parent)
    assert (row.status, row.damage) == ("damaged", problem)
    again = execute(make())
    assert (again.skipped, again.record.folder.name) == (False, f"{first.folder.name}.2")
    assert file.exists() == (kept is not None)


def test_a_diverged_run_is_complete_and_its_json_is_valid(make):
    words = ["norm=none", "model.activation=relu", "optimizer.lr=1e6"]
    record = execute(make(*words)).record
    assert (record.status, record.end["step"], record.end["test"]) == ("diverged", 3, None)
    for file in ("run.json", "end.json"):
        json.loads((record.folder / file).read_text(encoding="utf-8"), parse_constant=pytest.fail)
    for line in (record.folder / "events.jsonl").read_text(encoding="utf-8").splitlines():
        json.loads(line, parse_constant=pytest.fail)
    assert all(not target["observed"] for target in record.end["targets"])
    assert execute(make(*words)).skipped


def test_a_net_broken_by_its_last_update_has_a_valid_end(make):
    end = execute(make("norm=none", "optimizer=adam", "optimizer.lr=1e38", "train.steps=1")).record.end
    assert (end["status"], end["test"]["loss"]) == ("finished", None)
    assert end["test"]["num_examples"] == 53


def test_the_test_set_is_read_after_the_last_update_and_only_then(make, monkeypatch):
    moments = []
    real_step, real_evaluate = stepping.train_step, evaluate

    def step(*arguments):
        moments.append("step")
        return real_step(*arguments)

    def spy(model, split, experiment, forward=None):
        moments.append("test" if split is experiment.test else "validation")
        return real_evaluate(model, split, experiment, forward)

    monkeypatch.setattr(stepping, "train_step", step)
    for module in (loop, summary):
        monkeypatch.setattr(module, "evaluate", spy)
    execute(make("norm=none"))
    assert moments.count("test") == 1
    assert moments[-1] == "test"
    moments.clear()
    execute(make("norm=none", "model.activation=relu", "optimizer.lr=1e6"))
    assert "test" not in moments


def test_targets_are_censored_or_reached_in_steps_examples_and_seconds(make):
    reached = execute(make("train.steps=60", "optimizer.lr=0.02", "train.targets=[0.5,0.9999]")).record.end["targets"]
    assert [row["observed"] for row in reached] == [True, False]
    assert reached[0]["examples"] == 20 * reached[0]["steps"] > 0
    assert reached[1]["steps"] == 60


def test_the_share_of_time_adds_up(make):
    seconds = execute(make()).record.end["seconds"]
    assert set(seconds) == {"train", "eval", "probe", "record", "compile"}
    assert all(value >= 0 for value in seconds.values())


def test_a_second_process_at_the_same_run_is_refused(make, runs, breaking, monkeypatch):
    breaking(KeyboardInterrupt(), good=1)
    with pytest.raises(KeyboardInterrupt):
        execute(make())
    monkeypatch.undo()
    (record,) = runs()
    with (
        occupied(record.folder.parent, record.folder.name),
        pytest.raises(UserError, match="another process is at this very run"),
    ):
        execute(make())
    assert not execute(make()).skipped


@pytest.mark.parametrize("together", [False, True])
def test_what_another_process_ended_meanwhile_is_not_trained_again(make, monkeypatch, together):
    """Both decide before they lock; the second one gets the lock when the first has ended."""
    record = execute(make()).record
    before = {path: path.read_bytes() for path in record.folder.rglob("*") if path.is_file()}
    for module in (running, many):
        monkeypatch.setattr(module, "find_place", lambda *_: Place(record.folder, interrupted=True))
    (ended,) = many.execute_together([many.Asked(make())]) if together else [execute(make())]
    assert (ended.status, ended.skipped) == ("finished", True)
    assert {path: path.read_bytes() for path in record.folder.rglob("*") if path.is_file()} == before


def test_a_lock_that_is_a_link_is_not_followed(make, tmp_path, breaking, monkeypatch):
    breaking(KeyboardInterrupt(), good=1)
    with pytest.raises(KeyboardInterrupt):
        execute(make())
    monkeypatch.undo()
    (folder,) = [path.parent for path in tmp_path.glob("runs/*/run.json")]
    precious = tmp_path / "precious"
    precious.write_text("my thesis")
    (folder / ".lock").symlink_to(precious)
    with pytest.raises(UserError, match="lock is a link") as error:
        execute(make())
    assert precious.read_text() == "my thesis"
    assert error.value.todo == f"rm '{folder / '.lock'}'"


def test_a_lock_file_that_was_removed_while_we_took_it_is_not_taken_for_ours(tmp_path, monkeypatch):
    """Else two processes could each hold a lock on a file of the same name."""
    import fcntl

    real, removed = fcntl.flock, []

    def flock(lock: int, how: int) -> None:
        if not removed:
            removed.append((tmp_path / "run" / ".lock").unlink())
        real(lock, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with occupied(tmp_path, "run"), pytest.raises(Held), occupied(tmp_path, "run"):
        pass


def test_a_terminal_that_is_gone_costs_no_run(make, monkeypatch):
    def gone(*_):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("bnexp.engine.journal.Progress.scalar", gone)
    assert execute(make()).status == "finished"


#: What a runs folder may hold in the place of a file of a record.
BROKEN = {"torn": b'{"status": "fin', "not UTF-8": b'{"a": "\xff"}'}


@pytest.mark.parametrize(
    ("name", "content"),
    [("run.json", "not UTF-8"), ("end.json", "torn")],
)
def test_one_broken_folder_is_named_and_left_alone_and_the_rest_goes_on(bnexp, small, tmp_path, name, content):
    content = BROKEN[content]
    assert bnexp("train", *small, "seed=0,1").code == 0
    broken, _ = sorted(path.parent for path in tmp_path.glob("runs/*/end.json"))
    (broken / name).write_bytes(content)
    listed = bnexp("list", "runs", "--json")
    assert (listed.code, listed.err.count("\n")) == (0, 1)
    assert listed.err.startswith(f"runs/{broken.name}: {name} is ")
    assert sorted(row["status"] for row in json.loads(listed.out)) == ["damaged", "finished"]
    assert find_prices([compose(small)], tmp_path / "runs", dry=True).per_step
    trained = bnexp("train", *small, "seed=0,1")
    assert trained.code == 0
    assert f"runs/{broken.name} is left alone: {name} is " in trained.err
    assert (broken / name).read_bytes() == content
    assert (tmp_path / "runs" / f"{broken.name}.2" / "end.json").exists()


def test_no_lock_is_left_behind(make):
    folder = execute(make()).record.folder
    assert not (folder / ".lock").exists()


def test_a_new_runs_folder_stays_out_of_git_and_an_old_one_is_left_alone(make, tmp_path):
    execute(make())
    assert (tmp_path / "runs" / ".gitignore").read_text(encoding="utf-8") == "*\n"
    (tmp_path / "runs" / ".gitignore").unlink()
    execute(make("seed=1"))
    assert not (tmp_path / "runs" / ".gitignore").exists()


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def refuse(*_, **__):
    raise FULL


@pytest.mark.parametrize("moment", ["header", "events", "arrays", "end"])
def test_a_full_disk_is_told_and_the_same_command_continues(make, monkeypatch, moment):
    method = {"header": "begin", "events": "event", "arrays": "arrays", "end": "end"}[moment]
    monkeypatch.setattr(RunWriter, method, refuse)
    with pytest.raises(UserError, match="the disk is full") as error:
        execute(make("probes=light"))
    assert error.value.todo == "free some space and run the same command: it continues"
    monkeypatch.undo()
    result = execute(make("probes=light"))
    assert (result.record.status, result.record.folder) == ("finished", error.value.got)


def test_sigterm_is_handled_only_while_a_run_goes_on(make):
    before = signal.getsignal(signal.SIGTERM)
    execute(make("train.steps=1"))
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("words", [["device=cuda"], ["train.batch_size=1"], ["norm=ghost", "norm.ghost_size=7"]])
def test_what_only_building_can_find_is_found_before_a_folder_is_made(make, runs, monkeypatch, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError):
        execute(make(*words))
    assert runs() == []


def test_a_model_of_the_users_own_that_returns_no_logits_is_noticed_before_a_folder_is_made(make, runs, monkeypatch):
    monkeypatch.setattr(building, "build_model", lambda *_: torch.nn.Identity())
    with pytest.raises(AssertionError, match=r"instead of \[N, classes\]"):
        execute(make())
    assert runs() == []


def test_a_run_that_is_not_tested_never_reads_the_test_set_and_is_another_run(make, runs, monkeypatch):
    monkeypatch.setattr(summary, "_test_scores", pytest.fail)
    ended = execute(make("train.test=false"), show=False)
    (record,) = runs()
    assert ended.status == record.status == "finished"
    assert record.end["test"] is None
    assert "train.test=false" in dict(_test_rows(completed(record.header["config"]), record.end))["test accuracy"]
    assert record.header["config"]["train"]["test"] is False
    assert "test" not in computed(make())["train"]


def test_reading_the_test_set_counts_as_evaluation(make, runs, monkeypatch):
    scores = summary._test_scores
    monkeypatch.setattr(summary, "_test_scores", lambda experiment: time.sleep(0.3) or scores(experiment))
    execute(make(), show=False)
    (record,) = runs()
    assert record.end["seconds"]["eval"] > 0.3


def test_a_comparison_of_runs_that_are_not_tested_judges_validation(make, runs):
    for words in (("norm=none",), ("norm=batch",)):
        execute(make("train.test=false", *words), show=False)
    (block,) = compare(runs(), Question()).blocks
    assert block.judged.name == "validation"
