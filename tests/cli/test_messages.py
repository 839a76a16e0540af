"""Bad input, end to end: one message in three parts, exit code 2, no traceback, nothing written."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bnexp.cli.list import GROUPS
from bnexp.cli.main import COMMANDS
from bnexp.norms import NORMS

KNOWN_NORMS = ", ".join(NORMS)
KNOWN_KINDS = ", ".join([*GROUPS, "claims", "runs"])
KNOWN_COMMANDS = ", ".join(sorted(COMMANDS))

#: What is typed after ``bnexp train`` and the whole of what is said, less ``error:``.
REFUSED = [
    ("norm=bacth", f"there is no norm named 'bacth'\n  got: norm=bacth\n  try: norm=batch (known: {KNOWN_NORMS})"),
    (
        "model=mpl",
        "there is no model named 'mpl'\n  got: model=mpl\n"
        "  try: model=mlp (known: cnn, deep_linear, inception, linear, mlp, resmlp, resnet, vgg, vit)",
    ),
    (
        "dataset=mnist5k",
        "there is no dataset named 'mnist5k'\n  got: dataset=mnist5k\n  try: dataset=mnist_5k (known: cifar10, cifar100, "
        "cifar10_part, coloured_digits, fashion_mnist, image_folder, kmnist, mnist, mnist_5k, npz, svhn)",
    ),
    (
        "optimizer=adamm",
        "there is no optimizer named 'adamm'\n  got: optimizer=adamm\n  try: optimizer=adam (known: adam, adamw, sgd)",
    ),
    (
        "optimizer.rl=1",
        "optimizer=sgd has no option optimizer.rl\n  got: optimizer.rl=1\n  try: optimizer.lr=1 (options: optimizer.decay_norm, "
        "optimizer.lr, optimizer.momentum, optimizer.nesterov, optimizer.weight_decay)",
    ),
    ("optimizer.lr=-1", "optimizer.lr must be a number above 0\n  got: -1\n  try: optimizer.lr=0.1"),
    ("optimizer.lr=abc", "optimizer.lr must be a number above 0\n  got: 'abc'\n  try: optimizer.lr=0.1"),
    ("train.steps=0", "train.steps must be a whole number of at least 1\n  got: 0\n  try: train.steps=3000"),
    (
        "train.batch_size=201",
        "train.batch_size must not be larger than the 200 training examples\n  got: train.batch_size=201\n"
        "  try: train.batch_size=200",
    ),
    (
        "train.batch_size=1",
        "norm=batch needs statistics over several examples, and a batch of 1 has no spread\n  got: train.batch_size=1\n"
        "  try: train.batch_size=60, or norm=layer, which looks at one example at a time",
    ),
    (
        "execution.stack=0",
        "execution.stack must be auto or a whole number of at least 1\n  got: 0\n  try: execution.stack=auto",
    ),
    ("execution.jobs=0", "execution.jobs must be a whole number of at least 1\n  got: 0\n  try: execution.jobs=2"),
    (
        "--cfg job --package optimizer.lx",
        "there is no such part of the configuration\n  got: --package optimizer.lx\n  try: --package optimizer.lr (known: "
        "decay_norm, lr, momentum, name, nesterov, weight_decay)",
    ),
    ("seed=-1", "seed must be a whole number of at least 0\n  got: -1\n  try: seed=0"),
    (
        "norm=ghost norm.ghost_size=7",
        "norm.ghost_size must divide train.batch_size (20)\n  got: 7\n  try: norm.ghost_size=5 (divisors: [2, 4, 5, 10, 20])",
    ),
    (
        "norm=group norm.num_groups=3",
        "norm.num_groups must divide the number of features (8)\n  got: 3\n  try: norm.num_groups=4 (divisors: [1, 2, 4])",
    ),
    (
        "train.targets=[0.9,1]",
        "train.targets must be a number above 0 and below 1\n  got: 1\n  try: train.targets=[0.95]",
    ),
    (
        "model=vgg",
        "model=vgg needs images of at least 32x32 pixels\n  got: 6x6 pixels\n"
        "  try: dataset.pad=13, or 13 more than it is if you have set it: a border of zeros that makes them 32x32",
    ),
    (
        "dataset.path=nowhere.npz",
        "dataset.path does not exist, neither in {here} nor in {data}\n  got: dataset.path=nowhere.npz\n"
        "  try: dataset=npz dataset.path=PATH   (an absolute path, or one below these folders)",
    ),
    (
        "probes=light probes.layer_inputs.steps_between=0",
        "probes.layer_inputs.steps_between must be a whole number of at least 1\n  got: 0\n"
        "  try: probes.layer_inputs.steps_between=250",
    ),
    ("device=cuda", "there is no CUDA device that torch can use\n  got: device=cuda\n  try: device=cpu"),
    (
        "plugins=[nowhere]",
        "the plugin module 'nowhere' is not found\n  got: plugins=[nowhere]\n"
        "  try: run from the folder that holds nowhere.py, or install it",
    ),
    ("batch", "this word is not an override\n  got: batch\n  try: norm=batch"),
    ("--frobnicate", "bnexp train does not know this flag\n  got: --frobnicate\n  try: bnexp train --help"),
    (
        "--config-dir nowhere",
        "the folder of --config-dir does not exist\n  got: nowhere\n"
        "  try: --config-dir FOLDER, with FOLDER/norm/NAME.yaml in it",
    ),
    ("norm=renorm norm.momentum=null", "norm.momentum must be a number\n  got: None\n  try: norm.momentum=0.01"),
    ("norm.affine=7", "norm.affine must be one of full, scale, shift, none\n  got: '7'\n  try: norm.affine=full"),
    ("norm=lp norm.p=inf", "norm.p must be one of l1, l2, linf\n  got: 'inf'\n  try: norm.p=linf"),
    ("norm=lp norm.p=[l1]", "norm.p must be a word\n  got: ['l1']\n  try: norm.p=l1"),
    ("seed=0,-1", "seed must be a whole number of at least 0\n  got: -1\n  try: seed=0"),
]


#: What argparse refuses, and what is to be typed.
MISTYPED = [
    ("train --config-dir", "--config-dir VALUE   (bnexp train --help says which)"),
    ("train --json=1", "--json"),
    ("train --cfg job --config-dir nowhere", "--config-dir FOLDER, with FOLDER/norm/NAME.yaml in it"),
    ("list norms --config-dir nowhere", "--config-dir FOLDER, with FOLDER/norm/NAME.yaml in it"),
    ("list norms here there", "bnexp list --help"),
    ("report --frobnicate", "bnexp report --help"),
    ("report --out", "--out VALUE   (bnexp report --help says which)"),
    ("reproduce all --frobnicate", "bnexp reproduce --help"),
    ("export runs", "bnexp export --help"),
    ("lock", "bnexp lock --help"),
    ("doctor --runs-dir", "--runs-dir VALUE   (bnexp doctor --help says which)"),
    ("tensorboard --port six", "bnexp tensorboard --help"),
    ("data frobnicate", "bnexp data --help"),
]


@pytest.mark.parametrize(("typed", "todo"), MISTYPED, ids=[typed for typed, _ in MISTYPED])
def test_a_command_that_is_mistyped_is_told_in_three_parts(bnexp, typed, todo):
    answer = bnexp(*typed.split())
    assert (answer.code, answer.out) == (2, "")
    what, got, advice = answer.err.splitlines()
    assert (what[:7], got[:7], advice) == ("error: ", "  got: ", f"  try: {todo}")


def without(small: list[str], words: list[str]) -> list[str]:
    """Of the words of the small run those whose key is not given again."""
    return [word for word in small if word.split("=")[0] not in {given.split("=")[0] for given in words}]


@pytest.fixture
def refused(
    bnexp: Callable, small: list[str], tmp_path: Path, empty_cache: Path, monkeypatch, files_below
) -> Callable[..., None]:
    """Trains with these words and requires this message, and a folder that is as before."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    def check(words: list[str], message: str) -> None:
        before = files_below(tmp_path)
        answer = bnexp("train", *without(small, words), *words)
        places = {"{here}": str(tmp_path), "{data}": str(empty_cache / "bnexp")}
        for mark, place in places.items():
            message = message.replace(mark, place)
        assert (answer.code, answer.out, answer.err) == (2, "", f"error: {message}\n")
        assert files_below(tmp_path) == before
        assert not (tmp_path / "runs").exists()

    return check


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[words for words, _ in REFUSED])
def test_a_mistake_gets_one_message_and_leaves_nothing_behind(refused, words, message):
    refused(words.split(), message)


def test_every_message_says_what_is_wrong_what_we_got_and_what_to_type():
    for _, message in REFUSED:
        lines = message.splitlines()
        assert len(lines) == 3
        assert (lines[1][:7], lines[2][:7]) == ("  got: ", "  try: ")


@pytest.mark.parametrize("sweep", [[], ["seed=0,1"]], ids=["one run", "sweep"])
@pytest.mark.parametrize(
    ("runs_dir", "what"),
    [
        ("in_the_way", "runs_dir is a file, not a folder"),
        ("in_the_way/runs", "the run folder cannot be written (Not a directory)"),
    ],
)
def test_runs_that_have_no_place_are_refused(bnexp, small, tmp_path, files_below, runs_dir, what, sweep):
    (tmp_path / "in_the_way").write_text("a file", encoding="utf-8")
    answer = bnexp("train", *small, f"runs_dir={runs_dir}", *sweep)
    message = f"error: {what}\n  got: {runs_dir}\n  try: runs_dir=FOLDER, one you may write to\n"
    assert (answer.code, answer.err) == (2, message)
    assert files_below(tmp_path) == ["in_the_way"]


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(30, "Read-only file system")])
def test_a_folder_one_may_not_write_to_is_refused(bnexp, small, tmp_path, monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(Path, "mkdir", refuse)
    answer = bnexp("train", *small)
    assert answer.code == 2
    assert answer.err.startswith(f"error: the run folder cannot be written ({error.strerror})\n  got: runs\n")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("width", ["9999999", "99999999999"])
def test_a_net_that_does_not_fit_into_memory_is_told_and_leaves_nothing(bnexp, small, tmp_path, width):
    answer = bnexp("train", *without(small, ["model.width="]), f"model.width={width}")
    assert answer.code == 2
    what, got, todo = answer.err.splitlines()
    assert what == "error: this takes more memory than there is"
    assert got.startswith("  got: ")
    assert todo == "  try: a smaller model, or less of it at once"
    assert not (tmp_path / "runs").exists()


def test_a_full_disk_is_told_with_what_to_do(bnexp, small, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bnexp.records.jsonfile.os.fsync", refuse)
    answer = bnexp("train", *small)
    assert (answer.code, answer.out) == (2, "")
    assert re.fullmatch(
        r"error: the disk is full\n  got: runs/npz-mlp-\S+\n  try: free some space and run the same command: it continues\n",
        answer.err,
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["trian"],
            f"there is no command 'trian'\n  got: bnexp trian\n  try: bnexp train (known: {KNOWN_COMMANDS})",
        ),
        (["norm=batch"], "an override needs a command before it\n  got: norm=batch\n  try: bnexp train norm=batch"),
        (
            ["list", "norm"],
            f"bnexp list knows no 'norm'\n  got: norm\n  try: bnexp list norms (known: {KNOWN_KINDS})",
        ),
        (
            ["reproduce", "algorithm_1", "budget=quikc"],
            "there is no budget named 'quikc'\n  got: budget=quikc\n  try: budget=quick (known: full, quick, smoke)",
        ),
        (
            ["tensorboard"],
            "there is no such folder of runs\n  got: runs\n"
            "  try: the folder that your runs are in, or bnexp train, which makes runs/",
        ),
        (
            ["report", "repeats=nowhere"],
            "there is no such folder of runs\n  got: nowhere\n  try: repeats=FOLDER, the runs that these repeat",
        ),
    ],
)
def test_a_command_that_makes_no_sense_is_told_the_one_that_does(bnexp, tmp_path, files_below, words, message):
    answer = bnexp(*words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"error: {message}\n"
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(
    "words",
    [["look", "runs_dir=absent"], ["eval"], ["rerun"], ["rerun", "absent"], ["list", "runs"], ["compare", "absent"], ["lok"]],
)
def test_advice_names_the_program_as_it_was_called(bnexp, monkeypatch, words):
    monkeypatch.setenv("BNEXP_PROGRAM", "./scripts/bnexp")
    answer = bnexp(*words)
    advice = [line for line in (answer.err + answer.out).splitlines() if "try: " in line or "make one: " in line]
    assert len(advice) == 1
    assert "./scripts/bnexp " in advice[0]
    assert not re.search(r"(?<!/)\bbnexp [a-z]", advice[0])
