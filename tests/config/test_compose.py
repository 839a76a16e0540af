"""From words to a config: what is frozen, what is refused with which advice, how sweeps expand."""

from __future__ import annotations

import time
from dataclasses import FrozenInstanceError, fields, is_dataclass
from unittest import mock

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import MissingConfigException
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from bnexp.config import compose as composing
from bnexp.config.compose import combinations, compose, count, expand, launcher
from bnexp.config.paths import config_dir
from bnexp.config.schema import ExperimentConfig, SGDConfig
from bnexp.config.values import structure
from bnexp.errors import UserError


@pytest.fixture(scope="module")
def default() -> ExperimentConfig:
    return compose()


def parts(value) -> list:
    inner = [getattr(value, field.name) for field in fields(value)]
    return [value, *(part for item in inner if is_dataclass(item) for part in parts(item))]


def test_every_part_of_a_config_is_frozen(default):
    for part in parts(default):
        with pytest.raises(FrozenInstanceError):
            setattr(part, fields(part)[0].name, 1)


def test_the_default_is_the_papers_network_with_bn_on_the_embedded_digits(default):
    names = (default.model.name, default.norm.name, default.dataset.name, default.optimizer.name, default.schedule.name)
    assert names == ("mlp", "batch", "mnist_5k", "sgd", "constant")
    assert (default.model.options["depth"], default.model.options["width"], default.seed) == (3, 100, 0)
    assert list(default.probes) == ["layer_inputs"]


def test_options_of_a_component_are_what_its_group_does_not_share():
    config = compose(["norm=ghost", "norm.ghost_size=15", "norm.placement=after"])
    assert (config.norm.placement, config.norm.options["ghost_size"]) == ("after", 15)
    assert "placement" not in config.norm.options


def test_each_optimizer_has_its_own_fields():
    assert isinstance(compose().optimizer, SGDConfig)
    assert compose(["optimizer=adam", "optimizer.beta1=0.5"]).optimizer.beta1 == 0.5


def test_lists_become_tuples():
    assert compose(["train.targets=[0.5,0.6]"]).train.targets == (0.5, 0.6)


#: Words, and the whole message.
REFUSALS = [
    (
        ["optimizer=sdg"],
        "there is no optimizer named 'sdg'\n  got: optimizer=sdg\n  try: optimizer=sgd (known: adam, adamw, sgd)",
    ),
    (["debug=fats"], "there is no debug setting named 'fats'\n  got: debug=fats\n  try: debug=fast (known: fast, overfit)"),
    (
        ["train.stesp=3"],
        "train has no option train.stesp\n  got: train.stesp=3\n  try: train.steps=3 (options: train.accumulate, "
        "train.accumulate_statistics, train.batch_size, train.epochs, train.eval_every, train.eval_from, train.eval_gap, "
        "train.keep, train.log_every, train.only, train.order, train.steps, train.stop_at_accuracy, train.stop_at_loss, "
        "train.stop_at_target, train.targets, train.test)",
    ),
    (
        ["norm=none", "norm.ghost_size=15"],
        "norm=none has no option norm.ghost_size\n  got: norm.ghost_size=15\n  try: norm=ghost norm.ghost_size=15",
    ),
    (
        ["norm=layer", "norm.track=false"],
        "norm=layer has no option norm.track, because it keeps no running statistics\n  got: norm.track=false\n"
        "  try: norm=batch norm.track=false",
    ),
    (
        ["train.eval_from=250", "train.targets=[0.9]"],
        "steps to a target are not known without evaluations from the start\n"
        "  got: train.eval_from=250 train.targets=[0.9]\n  try: train.targets=[]",
    ),
    (["+typo=3"], "a run has no option typo\n  got: typo=3\n  try: bnexp train --help   shows groups, keys and values"),
    (["++norn=batch"], "a run has no option norn\n  got: norn=batch\n  try: norm=batch"),
    (["train=3"], "train must be a group of options\n  got: train=3\n  try: bnexp train --help   shows the groups"),
    (["optimizer.lr=???"], "there is no value for optimizer.lr\n  try: optimizer.lr=VALUE"),
    (
        ["optimizer.lr=interval(0,1)"],
        "this sweep has no list of values\n  got: optimizer.lr=interval(0,1)\n"
        "  try: optimizer.lr=range(0,5)   or a list, a,b,c",
    ),
    (
        ["train.log_every=${no.such.key}"],
        "a ${...} of the configuration has no value (in train.log_every): Interpolation key 'no.such.key' not found\n"
        "  try: bnexp train --help   shows groups, keys and values",
    ),
]


#: The same, less the names that plugins have brought.
LAUNCHERS = [
    (["hydra/launcher=job_lib"], "named 'job_lib'\n  got: hydra/launcher=job_lib\n  try: hydra/launcher=joblib (known: "),
    (["hydra.launcher.partition=a"], "try: hydra/launcher=submitit_slurm beside it"),
    (["hydra/launcher=joblib", "hydra.launcher.njobs=2"], "try: hydra.launcher.n_jobs=VALUE (known: "),
]


@pytest.mark.parametrize(("words", "message"), LAUNCHERS, ids=[words[-1] for words, _ in LAUNCHERS])
def test_what_no_launcher_knows_is_told_with_what_one_does(words, message):
    with pytest.raises(UserError) as error:
        expand(words)
    assert message in str(error.value)


def test_a_cluster_without_its_plugin_is_told_which_package_has_it(monkeypatch):
    missing = MissingConfigException("", "hydra/launcher/submitit_slurm", ["basic", "joblib"])
    monkeypatch.setattr("hydra.compose", mock.Mock(side_effect=missing))
    with pytest.raises(UserError, match="needs hydra-submitit-launcher") as error:
        launcher(["hydra/launcher=submitit_slurm"])
    assert error.value.todo.endswith("-m pip install hydra-submitit-launcher")


def test_a_group_whose_name_is_a_plural_is_told_in_english():
    with pytest.raises(UserError, match=r"^there is no choice of probes named 'layer_input'\n.*\n  try: probes=layer_inputs"):
        expand(["probes=layer_input"])


@pytest.mark.parametrize(("words", "message"), REFUSALS, ids=[" ".join(words) for words, _ in REFUSALS])
def test_what_cannot_be_composed_is_told(words, message):
    with pytest.raises(UserError) as error:
        expand(words)
    assert str(error.value) == message


def test_a_sweep_is_refused_where_one_run_is_wanted():
    with pytest.raises(UserError) as error:
        compose(["norm=none", "seed=3,1"])
    assert (error.value.got, error.value.todo) == ("seed=3,1", "seed=3")


def by_hydra(words: tuple[str, ...]) -> ExperimentConfig:
    """What Hydra makes of all of the words."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        values = OmegaConf.to_container(hydra.compose("train", overrides=list(words)), resolve=True)
    assert isinstance(values, dict)
    return structure(values)


#: Words that go together in any number, with sweeps among them.
PIECES = [
    "norm=none,ghost", "norm=batch", "experiment=deep_sigmoid", "optimizer=adam,sgd",
    "schedule=cosine", "probes=none,shift", "optimizer.lr=0.5,1,1e-2", "seed=range(1,3)", "train.steps=20,30", "debug=fast,overfit",
    "train.targets=[0.5],[0.6,0.7]", "norm.placement=after,before", "model.init='he'", "train={batch_size: 20},{log_every: 7}",
    "runs_dir=x-${seed}", "train.log_every=${train.eval_every}", "dataset.train_examples=null,100", "schedule.warmup_steps=5,0",
]  # fmt: skip


@pytest.mark.slow
@settings(max_examples=12)
@given(st.lists(st.sampled_from(PIECES), max_size=3, unique_by=lambda word: word.split("=")[0]))
def test_a_sweep_is_what_hydra_composes_run_by_run(words):
    configs, singles = expand(words), combinations(words)
    assert len(configs) == len(singles) == count(words)
    for config, single in list(zip(configs, singles, strict=True))[:6]:
        assert config == by_hydra(single)


def test_hydra_composes_once_for_each_arm_whatever_else_is_swept(monkeypatch):
    composing._packaged.cache_clear()
    asked = []
    real = composing._by_hydra
    monkeypatch.setattr(composing, "_by_hydra", lambda choices, extra: asked.append(choices) or real(choices, extra))
    assert len(expand(["norm=none,batch", "seed=range(0,50)", "optimizer.lr=0.1,0.2"])) == 200
    assert asked == [("norm=none",), ("norm=batch",)]


def test_arms_put_together_of_their_choices_are_what_hydra_composes(monkeypatch):
    composing._packaged.cache_clear()
    for choice in ("norm=none", "norm=batch", "model=cnn", "schedule=step", "probes=shift"):
        composing._packaged((choice,))
    overruled = [("experiment=deep_sigmoid", "norm=batch"), ("model=cnn", "debug=fast")]  # these fill sections of others
    arms = [("model=cnn", "norm=none", "probes=shift"), ("schedule=step", "norm=batch"), *overruled]
    assert [composing._packaged(arm) for arm in arms] == [composing._by_hydra(arm, None) for arm in arms]
    monkeypatch.setattr(composing, "_by_hydra", None)
    assert composing._packaged(("norm=batch", "probes=shift"))["norm"]["name"] == "batch"


def test_a_run_of_a_sweep_takes_less_than_five_milliseconds():
    words = ["norm=none,batch", "optimizer.lr=0.1,0.2,0.4", "seed=range(0,50)"]
    expand(words)
    start = time.process_time()
    assert len(expand(words)) == 300
    assert time.process_time() - start < 300 * 0.005


def test_values_that_must_fit_each_other_are_put_in_together():
    configs = expand(["train.steps=100,10", "schedule.warmup_steps=5,9"])
    assert [(config.train.steps, config.schedule.warmup_steps) for config in configs] == [
        (100, 5),
        (100, 9),
        (10, 5),
        (10, 9),
    ]


def test_comma_lists_expand_to_every_combination_in_order():
    configs = expand(["norm=none,batch", "seed=0,1", "train.steps=10"])
    assert [(c.norm.name, c.seed, c.train.steps) for c in configs] == [
        ("none", 0, 10), ("none", 1, 10), ("batch", 0, 10), ("batch", 1, 10),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "values"), [("seed=range(2,5)", [2, 3, 4]), ("seed=choice(7,1)", [7, 1]), ("seed=3", [3])]
)
def test_hydras_ways_to_write_a_sweep(word, values):
    assert [config.seed for config in expand([word])] == values


def test_a_glob_stands_for_the_names_of_its_group():
    assert [config.schedule.name for config in expand(["schedule=glob(*,exclude=step)"])] == [
        "constant",
        "cosine",
        "exponential",
    ]


def test_one_wrong_value_in_a_sweep_refuses_all_of_it():
    with pytest.raises(UserError, match="seed must be"):
        expand(["seed=0,1,-1"])
