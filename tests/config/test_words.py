"""Whatever is typed is an override or is told what comes nearest, in words that work when they are typed instead."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bnexp.config.compose import combinations, compose, count, expand, varied_keys
from bnexp.config.identity import run_id
from bnexp.errors import UserError

#: Words after ``bnexp train``, a blank between them, and what is to be typed instead.
MEANT = [
    ("norm=[none,batch]", "norm=none,batch"),
    ("model=[mlp,cnn]", "model=mlp,cnn"),
    ("dataset=[mnist]", "dataset=mnist"),
    ("experiment=[paper_mnist,deep_sigmoid]", "experiment=paper_mnist,deep_sigmoid"),
    ("norm={}", "norm=none"),
    ("norm={name:batch}", "norm=batch"),
    ("optimizer={lr:0.1}", "optimizer.lr=0.1"),
    ("train.targets=[0.5,]", "train.targets=[0.5]"),
    ("hydra.launcher.n_jobs=2", "hydra/launcher=joblib hydra.launcher.n_jobs=2"),
    ("seed=[0,1]", "seed=0,1"),
    ("optimizer.lr=[0.1,0.3]", "optimizer.lr=0.1,0.3"),
    ("model.init=[he]", "model.init=he"),
    ("dataset.flip=[true,false]", "dataset.flip=True,False"),
    ("train.targets=0.5,0.6", "train.targets=[0.5,0.6]"),
    ("train.targets=0.5", "train.targets=[0.5]"),
    ("train.targets=(0.5,0.6)", "train.targets=[0.5,0.6]"),
    ("train.targets=[0.5", "train.targets=[0.5]"),
    ("train.targets=[0.5, 0.6]", "train.targets=[0.5,0.6]"),
    ("norm=null", "norm=none"),
    ("norm=None", "norm=none"),
    ("norm=false", "norm=none"),
    ("norm=no", "norm=none"),
    ("~norm", "norm=none"),
    ("norm=", "norm=none"),
    ("probes=null", "probes=none"),
    ("~schedule", "schedule=constant"),
    ("~model", "model=mlp"),
    ("norm=bn", "norm=batch"),
    ("norm=BatchNorm2d", "norm=batch"),
    ("norm=none,ln", "norm=none,layer"),
    ("norm=gn", "norm=group"),
    ("norm=in", "norm=instance"),
    ("norm=rmsnorm", "norm=rms"),
    ("norm=weight_norm", "norm=weight"),
    ("model=resnet18", "model=resnet"),
    ("model=MLP", "model=mlp"),
    ("dataset=MNIST", "dataset=mnist"),
    ("dataset=cifar-10", "dataset=cifar10"),
    ("dataset=fashion", "dataset=fashion_mnist"),
    ("optimizer=SGD", "optimizer=sgd"),
    ("optimizer=AdamW", "optimizer=adamw"),
    ("lr=0.1", "optimizer.lr=0.1"),
    ("batch_size=8", "train.batch_size=8"),
    ("steps=5", "train.steps=5"),
    ("width=8", "model.width=8"),
    ("momentum=0.5", "optimizer.momentum=0.5"),
    ("learning_rate=0.1", "optimizer.lr=0.1"),
    ("model.lr=3", "optimizer.lr=3"),
    ("training.steps=4", "train.steps=4"),
    ("train/steps=4", "train.steps=4"),
    ("data=mnist", "dataset=mnist"),
    ("norm=none norm.ghost_size=10", "norm=ghost norm.ghost_size=10"),
    ("optimizer.beta1=0.5", "optimizer=adam optimizer.beta1=0.5"),
    ("optimizer.name=adam", "optimizer=adam"),
    ("model cnn", "model=cnn"),
    ("batch", "norm=batch"),
    ("norm = batch", "norm=batch"),
    ("norm= batch", "norm=batch"),
    ("norm =batch", "norm=batch"),
    ("norm=none, batch", "norm=none,batch"),
    ("norm=none ,batch", "norm=none,batch"),
    ("train.steps=1 000", "train.steps=1000"),
    ("seed=0 1 2", "seed=0,1,2"),
    ("norm=none batch", "norm=none,batch"),
    ("seed=0..4", "seed=range(0,5)"),
    ("seed=0-4", "seed=range(0,5)"),
    ("norm=none,batch,", "norm=none,batch"),
    ("norm=none,,batch", "norm=none,batch"),
    ("norm==batch", "norm=batch"),
    ("norm:batch", "norm=batch"),
    ("norm–batch", "norm=batch"),
    ("norm@model=batch", "norm=batch"),
    ("Norm=batch", "norm=batch"),
    ("NORM=none", "norm=none"),
    ("--norm batch", "norm=batch"),
    ("--norm=batch", "norm=batch"),
    ("--lr 0.1", "optimizer.lr=0.1"),
    ("--batch-size=8", "train.batch_size=8"),
    ("–-norm=batch", "norm=batch"),
    ("train.steps=10k", "train.steps=10000"),
    ("train.steps=1,000", "train.steps=1000"),
    ("train.steps=2^10", "train.steps=1024"),
    ("optimizer.lr=1/64", "optimizer.lr=0.015625"),
    ("optimizer.lr=5%", "optimizer.lr=0.05"),
    ("optimizer.lr=–1", "optimizer.lr=-1"),
    ("optimizer.lr=geomspace(1,2)", "optimizer.lr=1,2"),
    ("seed=range(0,0)", "seed=range(0,5)"),
    ("device=gpu", "device=cuda"),
    ("dataset.binarize=0", "dataset.binarize=false"),
    ("plugins=fine", "plugins=[fine]"),
    ("plugins=fine,other", "plugins=[fine,other]"),
    ("plugins=[fine.py]", "plugins=[fine]"),
    ("plugins=[./dir/my_norm.py]", "plugins=[dir.my_norm]"),
    ("hydra/launcher=job_lib", "hydra/launcher=joblib"),
]


def refusal(*words: str) -> UserError:
    with pytest.raises(UserError) as error:
        expand(words)
    return error.value


@pytest.mark.parametrize(("typed", "meant"), MEANT, ids=[typed for typed, _ in MEANT])
def test_what_is_meant_is_proposed_and_works_when_typed(typed, meant):
    todo = refusal(*typed.split(" ")).todo
    assert shlex.split(todo)[: len(meant.split())] == meant.split()
    if meant != "optimizer.lr=-1":  # read as meant, and refused for what it is
        assert expand(meant.split())


@pytest.mark.parametrize(
    "typed", ["norm = batch", " norm=batch,", '"norm"=batch', "norm=“batch”", "norm='batch", "norm=batch]"]
)
def test_one_word_with_blanks_or_marks_is_told_without(typed):
    (word,) = shlex.split(refusal(typed).todo)
    assert compose([word]).norm.name == "batch"


@pytest.mark.parametrize(
    ("typed", "todo"),
    [
        ("hydra.job.chdir=true", "leave hydra.job.chdir=true out"),
        ("hydra.run.dir=x", "runs_dir=FOLDER, which is where records go"),
        ("hydra.searchpath=[x]", "--config-dir FOLDER"),
        ("hydra.mode=MULTIRUN", "seed=0,1,2   (a comma list is a sweep)"),
        ("hydra.sweeper.params.seed=1", "leave hydra.sweeper.params.seed=1 out"),
        ("~train.steps", "leave ~train.steps out"),
        ("~probes.shift", "leave ~probes.shift out"),
        ("--frobnicate", "bnexp train --help"),
        ("--config-name=x", "experiment=NAME"),
        ("-cp", "--config-dir FOLDER"),
        ("norm=batch norm=layer", "norm=batch norm=layer"),
        ("plugins=[/a/my_norm.py]", "PYTHONPATH=/a bnexp train plugins=[my_norm]"),
        ("defaults=x", "bnexp train --help   shows groups, keys and values"),
        ("name=x", "bnexp train --help   shows groups, keys and values"),
        ("epochs=3", "train.epochs=3"),
        ("optimizer.lr=???", "optimizer.lr=VALUE"),
        ("runs_dir=${oc.env:NOT_SET_HERE}", "export NOT_SET_HERE=VALUE"),
    ],
)
def test_what_means_nothing_here_is_told_what_to_do(typed, todo):
    assert refusal(typed).todo == todo


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["train.steps=1e3"], 1000),
        (["train.steps=2_0"], 20),
        (["train.steps=40.0"], 40),
        (["train.steps='50'"], 50),
        (["++train.steps=60"], 60),
        (["+train.steps=60"], 60),
        (["train={steps: 70}"], 70),
        (["train.steps=${train.batch_size}"], 60),
    ],
)
def test_a_whole_number_may_be_written_as_people_write_them(words, value):
    assert compose(words).train.steps == value


@pytest.mark.parametrize(
    "word", ["optimizer.lr=1e-3", "optimizer.lr=.001", 'optimizer.lr="0.001"', "optimizer.lr=0.0010"]
)
def test_one_number_is_one_run_however_it_is_written(word):
    assert compose([word]) == compose(["optimizer.lr=0.001"])


@pytest.mark.parametrize("word", ["model.width=32.0", 'model.width="32"', "model.width=3.2e1", "norm.eps=1", "norm.eps='1.0'"])
def test_one_number_of_a_component_is_one_run_however_it_is_written(word):
    plain = {"model.width": "model.width=32", "norm.eps": "norm.eps=1.0"}[word.partition("=")[0]]
    assert run_id(compose([word])) == run_id(compose([plain]))
    assert [run_id(one) for one in expand([word, "seed=0,1"])] == [run_id(one) for one in expand([plain, "seed=0,1"])]


@pytest.mark.parametrize("word", ["force=yes", "force=on", "force='true'", "force=TRUE"])
def test_a_truth_value_may_be_written_as_people_write_them(word):
    assert compose([word]).force is True


def test_what_yaml_reads_as_truth_values_are_words_where_words_are_wanted():
    assert compose(["execution.compile=true"]).execution.compile == "on"
    assert compose(["dataset.standardize=null", "threads=None"]).dataset.standardize == "none"


@pytest.mark.parametrize(
    "path",
    [
        "run=1/d.npz",
        "train (1).npz",
        "my data.npz",
        "a#b",
        "größe/d",
        "it's",
        'a"b',
        "2026",
        "a\\b",
        "$x",
        "1e3",
        "x[1]",
    ],
)
def test_a_path_is_taken_as_it_is_typed_and_recorded_as_hydra_reads_it(path):
    words = ["dataset=npz", f"dataset.path={path}", f"runs_dir={path}"]
    config = compose(words)
    assert (config.dataset.options["path"], config.runs_dir) == (path, path)
    (recorded,) = combinations(words)
    assert compose(recorded) == config


def test_the_home_folder_is_meant_by_a_tilde(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert compose(["runs_dir=~/runs", 'data_dir="~/data"']).runs_dir == "/home/me/runs"
    assert compose(['data_dir="~/data"']).data_dir == "/home/me/data"
    assert "home folder" in refusal('runs_dir="~nobody-of-this-name/runs"').what


def test_a_key_that_is_given_twice_is_said_and_the_last_one_counts(capsys):
    (config,) = expand(["norm=none", "train.steps=7", "norm=batch", "train.steps=9"])
    assert (config.norm.name, config.train.steps) == ("batch", 9)
    assert capsys.readouterr().err == (
        "note: norm is given twice; the last one counts, norm=batch; norm=none,batch runs both\n"
        "note: train.steps is given twice; the last one counts, train.steps=9\n"
    )
    expand(["norm=none", "norm=batch,layer"])
    assert "norm=none,batch,layer runs both" in capsys.readouterr().err
    expand(["train.steps=20", "train.steps=2_0"])
    assert capsys.readouterr().err == ""


def test_a_sweep_can_be_counted_without_composing_it(monkeypatch):
    monkeypatch.setattr("bnexp.config.compose._by_hydra", None)
    assert count(["seed=range(0,100000)", "norm=none,batch", "schedule=glob(*)"]) == 800_000
    assert varied_keys(["train.targets=[0.8,0.9],[0.7]", "norm=none", "seed=1,2"]) == ("train.targets", "seed")


def test_a_range_has_no_digits_of_rounding_and_a_shuffled_list_its_order():
    assert combinations(["optimizer.lr=range(0.1,0.5,0.1)"]) == [(f"optimizer.lr=0.{n}",) for n in (1, 2, 3, 4)]
    assert [config.seed for config in expand(["seed=shuffle(1,2,3,4,5,6,7,8)"])] == list(range(1, 9))


KEYS = ["norm", "seed", "optimizer.lr", "runs_dir", "model", "train.targets", "probes", "x", "lr", "hydra.x", "train"]
VALUES = st.text(alphabet="=,[]{}()~+-$\"'` .:/\\*#@%\t–“abnro01", max_size=12)


@pytest.mark.slow
@settings(max_examples=300, derandomize=True)
@example(["norm=/"])
@example(["norm=" + "x" * 300])
@example(["seed=$\\{0"])
@given(st.lists(st.one_of(VALUES, st.builds("{}={}".format, st.sampled_from(KEYS), VALUES)), min_size=1, max_size=3))
def test_anything_at_all_is_read_or_told_without_words_of_the_grammar(words):
    told: list[str] = []
    try:
        expand(words)
        combinations(words)
    except UserError as error:
        told = str(error).splitlines()
    assert all(line.startswith(("  got: ", "  try: ")) for line in told[1:] if len(told) == 3)
    for word in ("mismatched", "extraneous", "no viable", "token recognition", "BRACKET_OPEN", "NoneType"):
        assert word not in " ".join(told)
