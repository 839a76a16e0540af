"""``execution.ddp`` where it makes no sense: one message, before anything is begun."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bnexp.config.identity import run_id
from bnexp.engine.build import build
from bnexp.errors import UserError
from bnexp.runs.settle import settled


@pytest.fixture
def started(monkeypatch):
    """``started(2)``: as if torchrun had started so many, and this were the first."""

    def set_up(size):
        for name, value in {"RANK": 0, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}.items():
            monkeypatch.setenv(name, str(value))

    return set_up


def test_true_is_as_many_as_were_started_and_one_is_none(make, started):
    started(2)
    assert settled(make("execution.ddp=true")).execution.ddp == 2
    names = {run_id(settled(make(word))) for word in ("execution.ddp=false", "execution.ddp=2", "execution.ddp=4")}
    assert len(names) == 3
    started(1)
    assert run_id(settled(make("execution.ddp=true"))) == run_id(make())


REFUSED = [
    (2, "execution.ddp=true train.batch_size=21", "of 2\n  got: train.batch_size=21 on 2 processes\n  try: train.batch_size=20"),
    (4, "execution.ddp=true train.accumulate=2", "a multiple of 8\n  got: train.batch_size=20 train.accumulate=2 on 4 processes"),
    (2, "execution.ddp=true seed=0,1", "a sweep uses every core by itself"),
    (2, "seed=0", "nothing says that they share one run\n  got: 2 processes\n  try: execution.ddp=true"),
    (3, "execution.ddp=2", "torchrun with as many\n  got: execution.ddp=2, 3 processes\n  try: "),
    (None, "execution.ddp=2", "torchrun with as many\n  got: execution.ddp=2, one process\n  try: "),
    (None, "execution.ddp=true", "started alone\n  got: execution.ddp=true\n  try: "),
    (None, "execution.ddp=1", "a number of processes of at least 2\n  got: 1\n  try: execution.ddp=true"),
]


@pytest.mark.parametrize(("size", "words", "told"), REFUSED, ids=[words for _, words, _ in REFUSED])
def test_what_makes_no_sense_is_refused_in_one_message(bnexp, small, started, size, words, told):
    if size:
        started(size)
    answer = bnexp("train", *small, *words.split())
    assert answer.code == 2
    assert told in answer.err
    assert answer.err.count("error:") == 1
    assert not Path("runs").exists()


def test_the_command_that_is_advised_is_one(bnexp, small, monkeypatch):
    monkeypatch.setenv("BNEXP_PROGRAM", "./scripts/bnexp")
    answer = bnexp("train", *small, "execution.ddp=true")
    assert re.search(r"try: \S*torchrun --nproc-per-node=2 -m bnexp train execution.ddp=true \.\.\.\n", answer.err)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("norm=noisy",), "draws its noise for a whole batch"),
        (("norm=ghost", "norm.ghost_size=20"), "a process passes 10 examples together"),
        (("norm=batch", "train.batch_size=2"), "a process passes 1 examples together"),
    ],
)
def test_norms_that_parts_do_not_suit_are_refused(make, words, told):
    with pytest.raises(UserError, match=told):
        build(make(*words, "execution.ddp=2"))
