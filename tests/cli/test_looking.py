"""Looking at runs: ``bnexp list runs``, ``bnexp tensorboard``, a preview of a sweep, and settings in either spelling."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bnexp.cli.list import GROUPS
from bnexp.cli.tensorboard_view import View
from bnexp.runs.run import execute

ROOT = Path(__file__).parents[2]


def test_a_preview_says_how_many_runs_there_are_how_many_are_complete_and_about_how_long_the_rest_takes(
    bnexp, small, files_below, tmp_path
):
    execute_words = [*small, "threads=1"]
    assert bnexp("train", *execute_words, "seed=0").code == 0
    before = files_below(tmp_path)
    answer = bnexp("train", *execute_words, "seed=0,1,2", "--dry-run")
    assert answer.code == 0
    count, price = answer.out.splitlines()
    assert count == "3 runs, 1 complete already"
    assert price.startswith("about ")
    assert price.endswith(" s on 1 process")
    assert files_below(tmp_path) == before
    assert bnexp("train", *small, "--dry-run").out == "1 run, 1 complete already: nothing to train\n"


@pytest.mark.parametrize(
    ("words", "code", "refused"), [("norm.p=l3 seed=0,1", 2, 2), ("norm.p=l3,l1 seed=0,1", 3, 2), ("norm.p=l1", 0, 0)]
)
def test_a_preview_tells_what_would_be_refused_though_its_kind_has_a_price(
    bnexp, small, files_below, tmp_path, words, code, refused
):
    assert bnexp("train", *small, "threads=1", "norm=lp", "seed=9").code == 0
    before = files_below(tmp_path)
    answer = bnexp("train", *small, "threads=1", "norm=lp", *words.split(), "--dry-run")
    assert answer.code == code
    assert ("about " in answer.out) is (code != 2)
    told = f"refused: {refused} runs: norm.p must be one of l1, l2, linf\n  got: 'l3'\n  try: norm.p=l2\n"
    assert answer.err == (told if refused else "")
    assert files_below(tmp_path) == before


def test_a_preview_of_a_net_that_does_not_fit_says_so(bnexp, small):
    answer = bnexp("train", *(word for word in small if not word.startswith("model.width=")), "model.width=1e12", "--dry-run")
    assert answer.code == 2
    told = r"refused: 1 run: this takes more memory than there is\n  got: .*\n  try: a smaller model, or less of it at once\n"
    assert re.fullmatch(told, answer.err)


@pytest.mark.slow
def test_a_sweep_that_is_complete_is_answered_from_its_records_without_torch(bnexp, small, tmp_path):
    assert bnexp("train", *small, "seed=0,1").code == 0
    code = (
        "import sys; from bnexp.cli.main import run; code = run(sys.argv[1:]); "
        "print(code, 'torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "train", *small, "seed=0,1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines()[-1] == "0 False"
    assert done.stderr.count("was complete already") == 2
    assert "2 runs" not in done.stderr  # nothing is announced where nothing is to do


@pytest.mark.parametrize("words", [["runs_dir=elsewhere"], ["--runs-dir", "elsewhere"]])
def test_list_runs_takes_the_runs_folder_in_either_spelling(bnexp, make, words, tmp_path):
    execute(make("train.steps=1"))
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    assert len(json.loads(bnexp("list", "runs", *words, "--json").out)) == 1
    assert bnexp("list", "runs", "norm=batch", "steps_to.0.9<200", "sort=val.accuracy").out.startswith("no runs in runs; make one")
    (tmp_path / "elsewhere").rename(tmp_path / "runs")
    assert "no run has run_dir" in bnexp("list", "runs", "run_dir=x").err


@pytest.mark.parametrize(
    ("words", "todo"),
    [
        (["val.acuracy>0.9"], "val.accuracy>0.9"),
        (["nrm=batch"], "norm=batch"),
        (["sort=val.acuracy"], "sort=val.accuracy"),
        (["experiment=paper_mnist"], ""),
    ],
)
def test_a_wrong_key_is_told_where_there_are_no_runs_too(bnexp, words, todo):
    answer = bnexp("list", "runs", *words)
    assert answer.code == 2
    assert "no run has" in answer.err
    assert f"try: {todo}" in answer.err


def test_the_bare_list_says_what_can_be_listed(bnexp):
    answer = bnexp("list")
    assert (answer.code, answer.err) == (0, "")
    assert [line.split()[0] for line in answer.out.splitlines()] == [*GROUPS, "claims", "runs"]


@pytest.mark.parametrize("words", [["budget=smoke", "jobs=1"], ["--budget", "smoke", "--jobs", "1"]])
def test_reproduce_takes_its_settings_in_either_spelling(bnexp, words):
    answer = bnexp("reproduce", "algorithm_1", "--dry-run", *words)
    assert answer.code == 0
    assert "1 claim, budget=smoke: 1 run" in answer.out


@pytest.fixture
def started(monkeypatch):
    """The command lines that would have replaced this process."""
    lines: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, command: lines.append(command))
    return lines


def shown(command: list[str]) -> list[str]:
    """Names of the runs that TensorBoard is given, as it would show them, means apart."""
    folder = Path(command[command.index("--logdir") + 1])
    return sorted(entry.name for entry in folder.iterdir() if entry.is_symlink() and list(entry.glob("events.*")))


def test_two_folders_of_one_name_are_shown_under_names_that_differ(bnexp, make, started, tmp_path):
    run = execute(make("train.steps=1")).record.folder
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "tb").symlink_to(run / "tb")
    for parent in ("a", "b"):
        (tmp_path / parent).mkdir()
        (tmp_path / "monday").rename(tmp_path / parent / "run") if parent == "a" else (tmp_path / "tuesday").rename(
            tmp_path / parent / "run"
        )
    bnexp("tensorboard", "a/run", "b/run", "--port", "0")
    assert shown(started[0]) == ["run in a", "run in b"]


def test_one_run_is_shown_under_a_short_name(bnexp, make, started):
    run = execute(make("train.steps=1")).record.folder
    bnexp("tensorboard", str(run), "--port", "0")
    assert shown(started[0]) == ["batch lr0.1 s0"]


def test_the_folder_may_be_named_as_tensorboards_own_users_do(bnexp, make, started):
    execute(make("train.steps=1"))
    bnexp("tensorboard", "--logdir", "runs", "--port", "0")
    assert shown(started[0]) == ["batch lr0.1 s0"]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows closes no terminal so")
def test_a_terminal_that_is_closed_leaves_no_view_behind(tmp_path):
    (tmp_path / "view").mkdir()
    lines = "import signal; from bnexp.cli.tensorboard_view import keep; keep('view', []); signal.raise_signal(signal.SIGHUP)"
    done = subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 128 + signal.SIGHUP
    assert not (tmp_path / "view").exists()


def test_a_port_that_is_taken_is_said_and_a_free_one_used(bnexp, make, started):
    execute(make("train.steps=1"))
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = bnexp("tensorboard", f"port={port}")
    free = started[0][started[0].index("--port") + 1]
    assert f"port {port} is taken; using {free}, which is free" in answer.err
    assert free not in ("0", str(port))
    assert f"http://localhost:{free}/" in answer.err


def test_what_is_named_tensorboard_in_the_working_folder_is_not_run(bnexp, make, started, tmp_path):
    execute(make("train.steps=1"))
    (tmp_path / "tensorboard").mkdir()
    for name in ("__init__.py", "main.py"):
        (tmp_path / "tensorboard" / name).write_text("print('mine')")
    bnexp("tensorboard", "--port", "0")
    done = subprocess.run([*started[0][:3], "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "mine" not in done.stdout


@pytest.fixture
def view(tmp_path):
    """A function from runs' settings (config keys, ``parent`` and ``folder`` apart) to a view of such runs, and its folder."""

    def made(*settings: dict) -> tuple[View, Path]:
        for setting in settings:
            given = {"norm": "none", "lr": 0.03, "seed": 0, "depth": 3, "values": (0.1, 0.5), **setting}
            arm = f"arm-{given['norm']}-{given['lr']}-{given['depth']}"
            folder = tmp_path / given.get("parent", "runs") / given.get("folder", f"{arm}-{given['seed']}")
            (folder / "tb").mkdir(parents=True)
            (folder / "tb" / "events.out.tfevents.1").write_bytes(b"")
            config = {"norm": {"name": given["norm"]}, "optimizer": {"lr": given["lr"]}, "seed": given["seed"]}
            config["model"] = {"name": "mlp", "options": {"depth": given["depth"]}}
            (folder / "run.json").write_text(json.dumps({"arm_id": arm, "config": config}))
            rows = [{"step": 10 * i, "name": "val/accuracy", "value": v, "seconds": 0.1} for i, v in enumerate(given["values"])]
            (folder / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            if given.get("ended", "finished"):
                (folder / "end.json").write_text(json.dumps({"status": given.get("ended", "finished")}))
        shown = tmp_path / "view"
        shown.mkdir()
        return View(shown, [tmp_path / name for name in sorted({s.get("parent", "runs") for s in settings})]), shown

    return made


def entries(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_runs_have_short_names_and_each_arm_a_mean(view):
    looked, shown = view(*({"norm": norm, "seed": seed} for norm in ("none", "batch") for seed in (0, 1)))
    assert looked.update()
    arms = ("batch lr0.03", "none lr0.03")
    assert entries(shown) == [f"{arm} {rest}" for arm in arms for rest in ("mean of 2", "s0", "s1")]


def test_without_several_seeds_there_is_no_mean(view):
    looked, shown = view({"norm": "none"}, {"norm": "batch"})
    assert not looked.update()
    assert entries(shown) == ["batch lr0.03 s0", "none lr0.03 s0"]


def test_only_what_tells_arms_apart_is_in_their_names(view):
    looked, shown = view({"depth": 3}, {"depth": 6}, {"norm": "batch"})
    looked.update()
    assert entries(shown) == ["batch lr0.03 s0", "none lr0.03 depth=3 s0", "none lr0.03 depth=6 s0"]


def test_two_runs_folders_that_hold_the_same_run_are_told_apart(view):
    looked, shown = view({"parent": "monday"}, {"parent": "tuesday"})
    looked.update()
    assert entries(shown) == ["none lr0.03 in monday s0", "none lr0.03 in tuesday s0"]


def test_a_folder_inside_another_that_is_named_as_well_is_shown_once(view, tmp_path):
    _, shown = view({})
    View(shown, [tmp_path / "runs", tmp_path / "runs" / "arm-none-0.03-3-0"]).update()
    assert entries(shown) == ["none lr0.03 s0"]


def test_a_mean_has_the_steps_at_which_every_run_has_a_value(view):
    looked, shown = view({"values": (0.25, 0.5, 0.75)}, {"seed": 1, "values": (0.75, 1.0)}, {"seed": 2, "ended": ""})
    looked.update()
    events = EventAccumulator(str(shown / "none lr0.03 mean of 2")).Reload().Scalars("1 learning/1 accuracy, validation")
    assert [(point.step, point.value) for point in events] == [(0, 0.5), (10, 0.75)]


def test_a_view_follows_the_runs(view, tmp_path):
    looked, shown = view({}, {"seed": 1, "ended": ""})
    assert not looked.update()
    (tmp_path / "runs" / "arm-none-0.03-3-1" / "end.json").write_text('{"status": "finished"}')
    assert looked.update()
    assert "none lr0.03 mean of 2" in entries(shown)
    (tmp_path / "runs" / "arm-none-0.03-3-0").rename(tmp_path / "elsewhere")
    assert not looked.update()
    assert entries(shown) == ["none lr0.03 s1"]


def test_a_run_with_the_tags_of_an_older_version_is_shown_as_its_record_has_it(view, tmp_path):
    looked, shown = view({}, {"norm": "batch"})
    (tmp_path / "runs" / "arm-none-0.03-3-0" / "tb" / "events.out.tfevents.1").write_bytes(b"..train/loss..")
    looked.update()
    assert entries(shown) == ["batch lr0.03 s0", "none lr0.03 s0"]
    tags = EventAccumulator(str(shown / "none lr0.03 s0")).Reload().Tags()["scalars"]
    assert tags == ["1 learning/1 accuracy, validation", "val/accuracy"]


def test_a_run_with_the_tags_of_today_is_shown_as_it_is(view, tmp_path):
    looked, shown = view({})
    run = tmp_path / "runs" / "arm-none-0.03-3-0"
    (run / "tb" / "events.out.tfevents.1").write_bytes(b"..1 learning/4 loss, training..train/loss..")
    looked.update()
    assert (shown / "none lr0.03 s0").readlink() == run / "tb"


def test_another_attempt_has_a_name_of_its_own_and_counts_once_in_the_mean(view):
    looked, shown = view({}, {"folder": "arm-none-0.03-3-0.2"}, {"seed": 1})
    looked.update()
    assert entries(shown) == ["none lr0.03 mean of 2", "none lr0.03 s0", "none lr0.03 s0 attempt 2", "none lr0.03 s1"]


def test_the_addresses_begin_with_the_means_where_there_are_several_seeds(bnexp, make, started):
    for seed in (0, 1):
        execute(make("train.steps=1", f"seed={seed}"))
    answer = bnexp("tensorboard", "--port", "0")
    port = started[0][started[0].index("--port") + 1]
    assert answer.err.startswith(f"TensorBoard\nhttp://localhost:{port}/\n")  # what scripts take
    assert f"http://localhost:{port}/?runColorGroup=regex:(.*)+[sm]&smoothing=0&runFilter=mean\n" in answer.err
    assert shown(started[0]) == ["batch lr0.1 s0", "batch lr0.1 s1"]
