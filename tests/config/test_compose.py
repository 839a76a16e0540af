"""From words to a config: what is frozen, what is refused with which advice, how sweeps expand."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest

from bnexp.config.compose import compose, expand, is_sweep, varied_keys
from bnexp.config.schema import ExperimentConfig, SGDConfig
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
    (
        ["optimizer.name=sdg"],
        "there is no optimizer named 'sdg'\n  got: optimizer=sdg\n  try: optimizer=sgd (known: adam, adamw, sgd)",
    ),
    (
        ["schedule=cosin"],
        "there is no schedule named 'cosin'\n  got: schedule=cosin\n"
        "  try: schedule=cosine (known: constant, cosine, exponential, step)",
    ),
    (["debug=fats"], "there is no debug named 'fats'\n  got: debug=fats\n  try: debug=fast (known: fast, overfit)"),
    (
        ["hydra/launcher=job_lib"],
        "there is no hydra/launcher named 'job_lib'\n  got: hydra/launcher=job_lib\n"
        "  try: hydra/launcher=joblib (known: basic, joblib)",
    ),
    (
        ["train.stesp=3"],
        "the configuration has no option train.stesp\n  got: train.stesp\n  try: train.steps (options: train.batch_size, "
        "train.eval_every, train.log_every, train.steps, train.targets)",
    ),
    (
        ["norm=none", "norm.ghost_size=15"],
        "the configuration has no option norm.ghost_size\n  got: norm.ghost_size\n"
        "  try: norm.name (options: norm.name, norm.placement)",
    ),
    (
        ["++train.stesp=3"],
        "train has no option train.stesp\n  got: train.stesp\n  try: train.steps (options: train.batch_size, "
        "train.eval_every, train.log_every, train.steps, train.targets)",
    ),
    (["~train.steps"], "there is no value for train.steps\n  try: train.steps=VALUE, or the line in its YAML"),
    (
        ["train=3"],
        "train must be a group of options\n  got: train=3\n  try: bnexp train --help   shows the groups",
    ),
    (["~norm"], "norm must be a group of options\n  got: no norm\n  try: bnexp train --help   shows the groups"),
    (
        ["norm=null"],
        "Config group override must be a string or a list. Got NoneType\n"
        "  try: bnexp train --help   shows groups, keys and values",
    ),
    (
        ["optimizer.lr=???"],
        "the configuration cannot be resolved: Missing mandatory value: lr\n  try: bnexp train --cfg job",
    ),
    (
        ["optimizer.lr=interval(0,1)"],
        "Can only enumerate CHOICE and RANGE sweeps, type is ValueType.INTERVAL_SWEEP\n"
        "  try: bnexp train --help   shows groups, keys and values",
    ),
]


@pytest.mark.parametrize(("words", "message"), REFUSALS, ids=[" ".join(words) for words, _ in REFUSALS])
def test_what_hydra_refuses_is_told_in_our_words(words, message):
    with pytest.raises(UserError) as error:
        expand(words)
    assert str(error.value) == message


@pytest.mark.parametrize("word", ["+typo=3", "++typo=3", "typo=3"])
def test_a_new_top_level_key_is_refused(word):
    with pytest.raises(UserError, match=r"^the configuration has no option typo\n") as error:
        compose([word])
    assert "options: data_dir, dataset, device" in error.value.todo


@pytest.mark.parametrize("word", ["norn=batch", "+norn=batch"])
def test_a_misspelt_group_is_told_its_nearest(word):
    with pytest.raises(UserError) as error:
        compose([word])
    assert error.value.todo.startswith("norm (options: ")


@pytest.mark.parametrize("word", ["norm = batch", "train.targets=[0.9", "a=b=(c"])
def test_a_word_that_hydra_cannot_parse_is_a_user_error(word):
    with pytest.raises(UserError, match="is not a Hydra override"):
        expand([word])


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


def test_a_list_value_is_no_sweep():
    assert not is_sweep(["train.targets=[0.8,0.9]", "norm=none"])
    assert varied_keys(["train.targets=[0.8,0.9],[0.7]", "norm=none", "seed=1,2"]) == ("train.targets", "seed")


def test_one_wrong_value_in_a_sweep_refuses_all_of_it():
    with pytest.raises(UserError, match="seed must be"):
        expand(["seed=0,1,-1"])


def test_a_users_own_folder_adds_to_a_group(tmp_path):
    (tmp_path / "norm").mkdir()
    (tmp_path / "norm" / "mine.yaml").write_text(
        "# My own.\nname: mine\nplacement: after\nstrength: 2\n", encoding="utf-8"
    )
    config = compose(["norm=mine", "norm.strength=3"], tmp_path)
    assert (config.norm.name, config.norm.placement, config.norm.options) == ("mine", "after", {"strength": 3})
    assert expand(["norm=mine,none"], tmp_path)[1].norm.name == "none"


def test_a_yaml_of_ones_own_that_leaves_a_field_out_is_told_which(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("# My own.\nname: mine\ninit: he\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"there is no value for model\.init_scale"):
        compose(["model=mine"], tmp_path)
