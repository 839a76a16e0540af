"""Any words after a command, and any damage to what it reads: an answer or one message, soon, and nothing written."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bnexp.cli.main import run as carry_out
from bnexp.runs.run import execute

#: Seconds that a refusal may take on a machine that does anything else besides.
SOON = 20.0

KEYS = [
    "seed",
    "norm",
    "model",
    "dataset",
    "optimizer.lr",
    "train.steps",
    "train.batch_size",
    "train.targets",
    "train.log_every",
    "norm.eps",
    "model.width",
    "probes",
    "dataset.path",
    "schedule.drops",
    "runs_dir",
    "data_dir",
    "threads",
    "execution.jobs",
    "retry",
    "experiment",
    "debug",
    "hydra/launcher",
    "~probes",
    "+norm.x",
    "hydra.callbacks.x",
    "hydra.job_logging._target_",
    "norm._target_",
    "norm",
    "train.keep",
    "train.stop_at_accuracy",
]
VALUES = [
    "0",
    "-1",
    "1e3",
    "1e400",
    "1" + "0" * 30,
    "9" * 5000,
    "range(0,3)",
    "range(1000000000000)",
    "range(0,1,1e-12)",
    "range(0,1,0)",
    "choice(a,b)",
    "choice(range(3),b)",
    "glob(**)",
    "tag(a,b)",
    "sort(2,1)",
    "shuffle(range(1000000000))",
    "[" * 300,
    "[" * 300 + "]" * 300,
    "{a:1}",
    "null",
    "nan",
    "'",
    '"',
    "${oc.env:HOME}",
    "${x",
    "${norm}",
    "os.system",
    "../../x",
    "/dev/zero",
    "x" * 5000,
    "a,b,c",
    "batch,none",
    "",
    ",",
    "\n",
    "\udcff",
    "é💥",
    "~nobody-of-this-name/x",
    "!!python/object:x",
]
COMMANDS = [
    "train --dry-run",
    "train --cfg job",
    "list runs",
    "compare",
    "look",
    "rm",
    "report",
    "figure",
    "eval",
    "rerun",
    "export",
    "data list",
    "reproduce --dry-run",
]

values = st.one_of(
    st.sampled_from(VALUES), st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=8)
)
words = st.one_of(
    values.filter(lambda word: not word.startswith("-")),
    st.tuples(st.sampled_from(KEYS), st.sampled_from(["=", "=", "=", "!=", ">", ":", " "]), values).map("".join),
)


def check(typed: list[str], codes: tuple[int | None, ...] = (0, 2)) -> None:
    start = time.monotonic()
    try:
        code: object = carry_out(typed)
    except SystemExit as error:  # argparse's
        code = error.code
    assert code in codes, typed
    assert time.monotonic() - start < SOON, typed


def check_words(folder: Path, command: str, typed: list[str]) -> None:
    check([*command.split(), *typed])
    assert list(folder.iterdir()) == [], typed


@given(command=st.sampled_from(COMMANDS), typed=st.lists(words, min_size=1, max_size=3))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_words_are_answered_or_refused(tmp_path, monkeypatch, command, typed):
    monkeypatch.chdir(tmp_path)
    check_words(tmp_path, command, typed)


@pytest.mark.slow
@given(command=st.sampled_from(COMMANDS), typed=st.lists(words, min_size=1, max_size=3))
@settings(max_examples=800, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_words_at_all_are_answered_or_refused(tmp_path, monkeypatch, command, typed):
    monkeypatch.chdir(tmp_path)
    check_words(tmp_path, command, typed)


ODD = st.sampled_from(
    [None, True, -1, 10**25, 1e999, float("nan"), "x", "\ud800", "\x1b[31m", "../x", [], [[1]], {}, {"a": 1}]
)
READING = [
    "list runs",
    "list runs lr>0.01",
    "list runs --json",
    "compare runs",
    "compare runs by=seed",
    "look runs --page-only",
    "export runs kept",
    "rm status=finished",
    "eval RUN",
    "rerun RUN --dry-run",
    "train --dry-run",
]


def places(content: object, above: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Where there is a value in what JSON says."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [place for key, one in inside for place in ((*above, key), *places(one, (*above, key)))]


def damaged(text: str, data: st.DataObject) -> str:
    """JSON with one value changed or left out."""
    content = json.loads(text)
    *above, last = data.draw(st.sampled_from(places(content)))
    part = content
    for key in above:
        part = part[key]
    if data.draw(st.booleans()) and isinstance(part, dict):
        del part[last]
    else:
        part[last] = data.draw(ODD)
    return json.dumps(content)


@pytest.fixture
def run(make) -> Path:
    """The folder of a complete run."""
    return Path(execute(make("train.keep=last", "probes=light"), show=False).folder)


def check_damage(run: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["run.json", "end.json", "events.jsonl"]))
    whole = (run / name).read_text()
    lines = whole.splitlines() if name == "events.jsonl" else [whole]
    place = data.draw(st.integers(0, len(lines) - 1))
    try:
        (run / name).write_text("\n".join([*lines[:place], damaged(lines[place], data), *lines[place + 1 :]]) + "\n")
        for command in data.draw(st.lists(st.sampled_from(READING), min_size=2, max_size=4)):
            check(command.replace("RUN", run.name).split())
    finally:
        (run / name).write_text(whole)
        for left in ("kept", "runs/look"):
            shutil.rmtree(run.parent.parent / left, ignore_errors=True)


@given(data=st.data())
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_value_changed_in_a_record_is_read_or_named(bnexp, run, data):  # noqa: ARG001 - bnexp goes to the folder
    check_damage(run, data)


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_changed_in_a_record_is_read_or_named(bnexp, run, data):  # noqa: ARG001 - as above
    check_damage(run, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run.json", "end.json"])
def test_every_key_left_out_of_a_record_is_done_without_or_named(bnexp, run, name):  # noqa: ARG001 - bnexp goes to the folder
    whole = (run / name).read_text()
    for *above, last in places(json.loads(whole)):
        content = json.loads(whole)
        part = content
        for key in above:
            part = part[key]
        if isinstance(part, dict):
            del part[last]
            (run / name).write_text(json.dumps(content))
            for command in ("list runs", "list runs --json", "compare runs", "compare runs by=seed", "rerun RUN --dry-run"):
                check(command.replace("RUN", run.name).split())
