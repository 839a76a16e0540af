"""Every range and cross check, with what it says word for word."""

from __future__ import annotations

import pytest

from bnexp.config import checks
from bnexp.config.compose import compose
from bnexp.errors import UserError, nearest, unknown_name

#: Override(s), what is wrong, what we got, what to type.
REFUSALS = [
    ("seed=-1", "seed must be a whole number of at least 0", "-1", "seed=0"),
    ("seed=abc", "seed must be a whole number of at least 0", "'abc'", "seed=0"),
    ("seed=true", "seed must be a whole number of at least 0", "True", "seed=0"),
    (
        "seed=99999999999999999999",
        "seed must be a whole number of at least 0 and at most 9,223,372,036,854,775,807",
        "99999999999999999999",
        "seed=0",
    ),
    (
        "train.log_every=1e19",
        "train.log_every must be a whole number of at least 1 and at most 9,223,372,036,854,775,807",
        "1e+19",
        "train.log_every=50",
    ),
    ("threads=0", "threads must be a whole number of at least 1", "0", "threads=1"),
    ("threads=1000000", "threads must be a whole number of at least 1 and at most 1,024", "1000000", "threads=1"),
    (
        "optimizer.lr=1e39",
        "optimizer.lr must be a number above 0 and within 3.4e+38 of 0, as a float32 is",
        "1e+39",
        "optimizer.lr=0.1",
    ),
    ("device=gpu", "device must be one of auto, cpu, cuda", "'gpu'", "device=cuda"),
    ("device=3", "device must be one of auto, cpu, cuda", "3", "device=auto"),
    ("force=3", "force must be true or false", "3", "force=true"),
    ("runs_dir=null", "runs_dir must be a path", "None", "runs_dir=runs"),
    ("data_dir={a:1}", "data_dir must be a path", "{'a': 1}", "data_dir=data"),
    ("plugins=mine", "plugins must be a list", "'mine'", "plugins=[mine]"),
    ("plugins=[3]", "plugins must be a word", "3", "plugins=[my_norm]"),
    ("train.steps=0", "train.steps must be a whole number of at least 1", "0", "train.steps=3000"),
    ("train.steps=1.5", "train.steps must be a whole number of at least 1", "1.5", "train.steps=3000"),
    ("train.batch_size=0", "train.batch_size must be a whole number of at least 1, or all", "0", "train.batch_size=60"),
    ("train.eval_every=0", "train.eval_every must be a whole number of at least 1", "0", "train.eval_every=100"),
    ("train.log_every=-5", "train.log_every must be a whole number of at least 1", "-5", "train.log_every=50"),
    ("train.targets=[0]", "train.targets must be a number above 0 and below 1", "0", "train.targets=[0.95]"),
    ("train.targets=[0.9,1]", "train.targets must be a number above 0 and below 1", "1", "train.targets=[0.95]"),
    (
        "train.stop_at_accuracy=1",
        "train.stop_at_accuracy must be a number above 0 and below 1",
        "1",
        "train.stop_at_accuracy=0.95",
    ),
    (
        "train.stop_at_accuracy=0",
        "train.stop_at_accuracy must be a number above 0 and below 1",
        "0",
        "train.stop_at_accuracy=0.95",
    ),
    ("train.stop_at_loss=0", "train.stop_at_loss must be a number above 0", "0", "train.stop_at_loss=0.01"),
    ("train.targets=0.9", "train.targets must be a list", "0.9", "train.targets=[0.9]"),
    (
        "train.targets=[0.9,0.9]",
        "train.targets must differ from each other",
        "[0.9, 0.9]",
        "train.targets=[0.9,0.95]",
    ),
    ("optimizer.lr=-1", "optimizer.lr must be a number above 0", "-1", "optimizer.lr=0.1"),
    ("optimizer.lr=0", "optimizer.lr must be a number above 0", "0", "optimizer.lr=0.1"),
    ("optimizer.lr=abc", "optimizer.lr must be a number above 0", "'abc'", "optimizer.lr=0.1"),
    ("optimizer.lr=nan", "optimizer.lr must be a number above 0", "nan", "optimizer.lr=0.1"),
    ("optimizer.lr=inf", "optimizer.lr must be a number above 0", "inf", "optimizer.lr=0.1"),
    (
        "optimizer.weight_decay=-1",
        "optimizer.weight_decay must be a number at least 0",
        "-1",
        "optimizer.weight_decay=0.0001",
    ),
    ("optimizer.decay_norm=1", "optimizer.decay_norm must be true or false", "1", "optimizer.decay_norm=true"),
    (
        "optimizer.momentum=1",
        "optimizer.momentum must be a number at least 0 and below 1",
        "1",
        "optimizer.momentum=0.9",
    ),
    ("optimizer.nesterov=maybe", "optimizer.nesterov must be true or false", "'maybe'", "optimizer.nesterov=true"),
    (
        "optimizer.nesterov=true optimizer.momentum=0",
        "optimizer.nesterov needs momentum",
        "optimizer.nesterov=true optimizer.momentum=0",
        "optimizer.momentum=0.9",
    ),
    (
        "optimizer=adam optimizer.beta1=1",
        "optimizer.beta1 must be a number at least 0 and below 1",
        "1",
        "optimizer.beta1=0.9",
    ),
    (
        "optimizer=adam optimizer.beta2=-0.1",
        "optimizer.beta2 must be a number at least 0 and below 1",
        "-0.1",
        "optimizer.beta2=0.999",
    ),
    ("optimizer=adamw optimizer.eps=0", "optimizer.eps must be a number above 0", "0", "optimizer.eps=1e-08"),
    (
        "schedule.warmup_steps=-1",
        "schedule.warmup_steps must be a whole number of at least 0",
        "-1",
        "schedule.warmup_steps=100",
    ),
    (
        "schedule.warmup_steps=50 train.steps=50",
        "schedule.warmup_steps must be smaller than train.steps",
        "schedule.warmup_steps=50 train.steps=50",
        "schedule.warmup_steps=5",
    ),
    (
        "schedule=cosine schedule.final_factor=2",
        "schedule.final_factor must be a number at least 0 and at most 1",
        "2",
        "schedule.final_factor=0.01",
    ),
    (
        "schedule=exponential schedule.final_factor=0",
        "schedule.final_factor must be a number above 0 and at most 1",
        "0",
        "schedule.final_factor=0.01",
    ),
    ("schedule=step schedule.drops=0.5", "schedule.drops must be a list", "0.5", "schedule.drops=[0.5]"),
    (
        "schedule=step schedule.drops=[1]",
        "schedule.drops must be a number above 0 and below 1",
        "1",
        "schedule.drops=[0.5]",
    ),
    (
        "schedule=step schedule.drop_factor=0",
        "schedule.drop_factor must be a number above 0 and at most 1",
        "0",
        "schedule.drop_factor=0.1",
    ),
    (
        "model.init=gausian",
        "model.init must be one of gaussian, he, glorot, lecun, orthogonal",
        "'gausian'",
        "model.init=gaussian",
    ),
    ("model.init_scale=0", "model.init_scale must be a number above 0", "0", "model.init_scale=1"),
    ("norm.placement=behind", "norm.placement must be one of before, after", "'behind'", "norm.placement=before"),
    (
        "dataset.validation_examples=0",
        "dataset.validation_examples must be a whole number of at least 1",
        "0",
        "dataset.validation_examples=1000",
    ),
    (
        "dataset.train_examples=0",
        "dataset.train_examples must be a whole number of at least 1",
        "0",
        "dataset.train_examples=1000",
    ),
    ("dataset.binarize=1", "dataset.binarize must be true or false", "1", "dataset.binarize=true"),
    (
        "dataset.standardize=perpixel",
        "dataset.standardize must be one of none, unit, center, global, per_pixel",
        "'perpixel'",
        "dataset.standardize=per_pixel",
    ),
    ("dataset.pad=-1", "dataset.pad must be a whole number of at least 0", "-1", "dataset.pad=2"),
    ("dataset.flip=maybe", "dataset.flip must be true or false", "'maybe'", "dataset.flip=true"),
    ("dataset.crop=0.5", "dataset.crop must be a whole number of at least 0", "0.5", "dataset.crop=4"),
    (
        "dataset.binarize=true dataset.standardize=none",
        "dataset.binarize turns pixels into 0 and 1, so dataset.standardize=none (raw 0..255) has no meaning",
        "dataset.binarize=true dataset.standardize=none",
        "dataset.standardize=unit",
    ),
    (
        "probes.layer_inputs=null",
        "probes.layer_inputs must be a group of options",
        "None",
        "~probes.layer_inputs to leave it out",
    ),
]


@pytest.mark.parametrize(("words", "what", "got", "todo"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_a_value_out_of_range_is_refused_in_these_words_and_the_advice_is_accepted(words, what, got, todo):
    with pytest.raises(UserError) as error:
        compose(words.split())
    assert (error.value.what, str(error.value.got), error.value.todo) == (what, got, todo)
    if "=" in todo:
        others = [word for word in words.split() if word.split("=")[0] != todo.split("=")[0]]
        assert compose([*others, todo])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), True, "one", None])
def test_a_number_is_finite_and_no_truth_value_or_word(bad):
    with pytest.raises(UserError, match=r"^x must be a number\n"):
        checks.real("x", bad, example=1)


def test_bounds_are_open_or_closed_as_they_say():
    assert checks.real("x", 1, least=1, most=1, example=1) == 1.0
    for open_bound in ({"above": 1}, {"below": 1}):
        with pytest.raises(UserError):
            checks.real("x", 1, example=1, **open_bound)


@pytest.mark.parametrize(("value", "advice"), [(7, 6), (19, 20), (59, 60), (8, 10), (1000, 60)])
def test_divides_proposes_the_nearest_divisor_and_the_larger_of_two(value, advice):
    with pytest.raises(UserError) as error:
        checks.divides("norm.ghost_size", value, "train.batch_size", 60)
    assert error.value.todo.startswith(f"norm.ghost_size={advice} (divisors: [1, 2, 3")


def test_the_nearest_name_is_proposed_only_when_there_is_one():
    assert nearest("bacth", ["layer", "batch"]) == "batch"
    assert nearest("xyz", ["layer", "batch"]) is None
    assert str(unknown_name("norm", "xyz", ["layer", "batch"])) == (
        "there is no norm named 'xyz'\n  got: norm=xyz\n  try: one of these; known: batch, layer"
    )
