"""Who a run is: everything that decides what it computes is in its name, nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bnexp.config import identity
from bnexp.config.compose import compose
from bnexp.config.identity import LATER, arm_id, completed, computed, run_id
from bnexp.config.schema import COSMETIC, ExperimentConfig
from bnexp.config.values import structure, with_value
from bnexp.records.archive import open_record

#: One config of each kind of optimiser and schedule, so that every field of the schema is walked.
CONFIGS = {
    "default": [],
    "adam": ["optimizer=adam", "schedule=step", "norm=noisy", "dataset.train_examples=100"],
    "adamw": [
        "optimizer=adamw",
        "schedule=exponential",
        "norm=ghost",
        "model=resmlp",
        "dataset=image_folder",
        "plugins=[json]",
    ],
}


@pytest.fixture(scope="module")
def config() -> ExperimentConfig:
    return compose()


def leaves(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of everything that is no mapping."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def changed(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return value[1:] if value else ("json",)
    return {"str": "other", "NoneType": "7", "dict": {"more": 1}}.get(type(value).__name__) or value * 2 + 1


def with_leaf_changed(config: ExperimentConfig, path: tuple[str, ...]) -> ExperimentConfig:
    """A copy with the leaf at ``path`` changed behind the back of its check, which may refuse the other value."""
    copy = deepcopy(config)
    part: Any = copy
    for key in path[:-1]:
        part = part[key] if isinstance(part, dict) else getattr(part, key)
    if isinstance(part, dict):
        part[path[-1]] = changed(part[path[-1]])
    else:
        object.__setattr__(part, path[-1], changed(getattr(part, path[-1])))
    return copy


@pytest.mark.parametrize("words", CONFIGS.values(), ids=CONFIGS)
def test_every_setting_but_the_cosmetic_ones_makes_another_run(words):
    config = compose(words)
    for path in leaves(asdict(config)):
        other = with_leaf_changed(config, path)
        cosmetic = path[0] in COSMETIC and path[:2] not in (("execution", "precision"), ("execution", "ddp"))
        assert (run_id(other) == run_id(config)) == cosmetic, path
        assert (arm_id(other) == arm_id(config)) == (cosmetic or path[0] == "seed"), path


def test_all_settings_are_walked():
    walked = {path for words in CONFIGS.values() for path in leaves(asdict(compose(words)))}
    assert {
        ("seed",),
        ("plugins",),
        ("optimizer", "beta2"),
        ("schedule", "drops"),
        ("norm", "options", "amplitude"),
    } <= walked
    assert {("probes", "layer_inputs", "examples"), ("dataset", "options", "path"), ("train", "targets")} <= walked


def test_the_name_says_data_model_norm_learning_rate_and_seed(config):
    assert run_id(replace(config, seed=3)).startswith("mnist_5k-mlp-batch-lr0.1-s3-")
    assert arm_id(config).startswith("mnist_5k-mlp-batch-lr0.1-")


def test_a_look_schedule_as_published_runs_had_it_is_left_out_of_their_names():
    for words, kept in ((["probes=fixed_looks"], False), (["probes=light"], True)):
        assert ("early" in computed(compose(words))["probes"]["layer_inputs"]) == kept
        assert "early" in compose(words).probes["layer_inputs"]
    assert run_id(compose(["probes=layer_inputs"])) == "mnist_5k-mlp-batch-lr0.1-s0-5ad27e99"


def test_equal_configs_have_equal_names(config):
    assert run_id(config) == run_id(compose(["norm=batch", "runs_dir=elsewhere"]))


def test_other_data_of_the_users_own_make_another_run_and_arm(config):
    assert run_id(config, "a") != run_id(config, "b")
    assert arm_id(config, "a") != arm_id(config, "b")


def test_the_place_of_the_users_own_files_does_not_count_but_their_content():
    here, there = (compose(["dataset=npz", f"dataset.path={place}"]) for place in ("here.npz", "there.npz"))
    assert run_id(here, "a") == run_id(there, "a")
    assert run_id(here, "a") != run_id(here, "b")


def test_a_new_schema_version_makes_all_runs_new(config, monkeypatch):
    before = run_id(config)
    monkeypatch.setattr(identity, "SCHEMA_VERSION", 999)
    assert run_id(config) != before


@pytest.mark.parametrize("file", ["plugin_of_identity_test.py", "plugin_of_identity_test/inner.py"])
def test_an_edited_plugin_makes_another_run(config, tmp_path, monkeypatch, file):
    monkeypatch.syspath_prepend(tmp_path)
    plugin = tmp_path / file
    plugin.parent.mkdir(exist_ok=True)
    if plugin.name == "inner.py":
        (plugin.parent / "__init__.py").write_text("", encoding="utf-8")
    with_plugin = replace(config, plugins=("plugin_of_identity_test",))
    plugin.write_text("VALUE = 1\n", encoding="utf-8")
    first = run_id(with_plugin)
    assert run_id(with_plugin) == first
    plugin.write_text("VALUE = 2\n", encoding="utf-8")
    assert run_id(with_plugin) != first


RESULTS = Path(__file__).parents[2] / "results"


def as_typed(recorded: dict[str, Any], cosmetic: ExperimentConfig) -> ExperimentConfig:
    """The config of a record's header, with the cosmetic settings of ``cosmetic``."""
    values = {key: recorded[key] for key in recorded}
    for group in ("model", "norm", "dataset"):
        values[group] = {**values[group], **values[group]["options"]}
        del values[group]["options"]
    execution = {**asdict(cosmetic)["execution"], **values.pop("execution", {})}
    return structure({**asdict(cosmetic), **values, "execution": execution})


@pytest.mark.parametrize("budget", ["quick", "full"])
def test_published_runs_keep_their_names_and_lack_later_settings_only(config, budget):
    rows = map(json.loads, (RESULTS / budget / "runs.jsonl").read_text(encoding="utf-8").splitlines())
    names = [row["run"] for row in rows if "run" in row]
    headers = [open_record(RESULTS / budget, name).header for name in names[:: max(1, len(names) // 60)]]
    trained = [header for header in headers if "config" in header]
    assert len(trained) > 20
    for header in trained:
        again = as_typed(header["config"], config)
        assert (run_id(again), arm_id(again)) == (header["run_id"], header["arm_id"])
        assert computed(again).keys() == header["config"].keys()
        assert completed(header["config"])["train"].keys() == asdict(again)["train"].keys()
        assert completed(header["config"])["norm"].keys() == asdict(again)["norm"].keys()


def test_a_later_setting_that_is_typed_makes_another_run_and_is_recorded(config):
    other = with_value(config, "train.accumulate", 4)
    assert run_id(other) != run_id(config)
    assert completed(computed(other))["train"]["accumulate"] == computed(other)["train"]["accumulate"] == 4


def test_a_later_setting_has_its_old_value_as_default():
    config = compose(["probes=layer_inputs"])
    for key, before in LATER.items():
        part, without = asdict(config), computed(config)
        *sections, name = key.split(".")
        for section in sections:
            part, without = part[section], without.get(section, {})
        assert part[name] == before, key
        assert name not in without, key
