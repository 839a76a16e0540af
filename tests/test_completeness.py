"""A thing is one Python file, one import line and one YAML: here these three are held against each other."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

import bnexp.data
import bnexp.models
import bnexp.norms
import bnexp.probes
from bnexp.cli.list import GROUPS
from bnexp.config.checks import option_names
from bnexp.config.compose import compose, expand
from bnexp.config.paths import config_dir, first_comment, group_files
from bnexp.config.schema import OPTIMIZERS, SCHEDULES, DatasetConfig, ModelConfig, NormConfig

CONFIGS = config_dir()
COMPONENTS = sorted(CONFIGS.glob("*/*.yaml"))
NAMED = [*sorted(CONFIGS.glob("experiment/*.yaml")), *sorted(CONFIGS.glob("debug/*.yaml"))]

#: Groups whose YAMLs hold their own name: a run's config and record must say which choice it was.
WITH_NAME = ("norm", "model", "dataset", "optimizer", "schedule")

#: Choices of ``probes`` that are no probe.
PROBE_PRESETS = {"none", "light", "full", "fixed_looks", "causes", "causes_sparse", "final_statistics"}

#: Modules of a component's folder that hold no component.
SHARED_MODULES = {
    "norm": {"__init__", "base", "factory", "population"},
    "model": {"__init__", "blocks", "factory", "image_size", "init"},
    "probes": {"__init__", "base", "one_batch"},
}


def registered() -> dict[str, dict[str, tuple]]:
    """Group to name to (builder, fields shared by the whole group, parameters the program provides)."""
    shared = {"model": ModelConfig, "norm": NormConfig, "dataset": DatasetConfig}
    names = {group: {field.name for field in fields(kind)} - {"options"} for group, kind in shared.items()}
    norms, models, sources = bnexp.norms.NORMS, bnexp.models.MODELS, bnexp.data.SOURCES
    return {
        "norm": {n: (norms[n].build, names["norm"], ("generator",) if norms[n].uses_noise else ()) for n in norms},
        "model": {n: (models[n], names["model"], ()) for n in models},
        "dataset": {n: (sources[n].load, names["dataset"], ()) for n in sources},
    }


def values(file: Path) -> dict:
    return yaml.safe_load(file.read_text(encoding="utf-8")) or {}


def id_of(file: Path) -> str:
    return f"{file.parent.name}/{file.stem}"


@pytest.mark.parametrize("group", ["norm", "model", "dataset"])
def test_every_registered_name_has_a_yaml_and_the_other_way_round(group):
    assert list(registered()[group]) == sorted(group_files(group))


def test_every_probe_has_a_yaml_of_its_own_and_the_other_choices_are_made_of_them():
    assert sorted(bnexp.probes.PROBES) == sorted(set(group_files("probes")) - PROBE_PRESETS)
    assert values(group_files("probes")["none"]) == {}
    for preset in PROBE_PRESETS:
        assert set(compose([f"probes={preset}"]).probes) <= set(bnexp.probes.PROBES)


@pytest.mark.parametrize(("group", "names"), [("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)])
def test_every_optimizer_and_schedule_of_the_schema_has_a_yaml(group, names):
    assert sorted(names) == sorted(group_files(group))


@pytest.mark.parametrize(
    ("group", "package"), [("norm", bnexp.norms), ("model", bnexp.models), ("probes", bnexp.probes)]
)
def test_every_name_has_a_module_of_that_name(group, package):
    modules = {file.stem for file in Path(package.__file__).parent.glob("*.py")} - SHARED_MODULES[group]
    assert modules == set(group_files(group)) - (PROBE_PRESETS if group == "probes" else set())


@pytest.mark.parametrize("group", ["norm", "model"])
def test_the_builder_of_a_name_is_in_the_module_of_that_name(group):
    for name, (builder, _, _) in registered()[group].items():
        assert inspect.getmodule(builder).__name__.rpartition(".")[2] == name


def test_a_yaml_begins_with_a_comment_that_says_what_it_is():
    told = {file: file.read_text(encoding="utf-8").startswith("# ") and first_comment(file) for file in COMPONENTS}
    assert [id_of(file) for file, words in told.items() if not words or (len(words) <= 10 and file.stem != "none")] == []


def test_a_yaml_names_itself_after_its_file():
    named = {file: values(file)["name"] for file in COMPONENTS if file.parent.name in WITH_NAME}
    assert [id_of(file) for file, name in named.items() if name != file.stem] == []


@pytest.mark.parametrize("group", ["norm", "model", "dataset"])
def test_the_keys_of_a_yaml_are_the_options_of_its_builder_and_the_fields_of_its_group(group):
    for name, (builder, shared, provided) in registered()[group].items():
        options = set(option_names(builder, provided))
        suggested = {"targets"} if group == "dataset" else set()  # what train.targets=null stands for
        lacking = set() if "momentum" in options else {"freeze_after", "track"}  # it keeps no running statistics
        assert set(values(group_files(group)[name])) == (shared - lacking) | options | suggested, name


def test_the_keys_of_a_probes_yaml_are_its_options():
    for name in bnexp.probes.PROBES:
        content = values(group_files("probes")[name])
        assert {key: tuple(content[key]) for key in content} == {name: option_names(bnexp.probes.PROBES[name])}


def test_every_option_is_explained_beside_its_value():
    silent = [
        f"{id_of(file)}: {line.strip()}"
        for file in COMPONENTS
        if file not in NAMED
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.partition(":")[2].strip() and not line.startswith(("#", "name:")) and "# " not in line
    ]
    assert silent == []


@pytest.mark.slow
def test_every_choice_of_every_group_composes():
    """Side by side, not in every combination: the first norm with the first model, the first data set, ..."""
    names = {group: list(group_files(group)) for group in GROUPS.values() if group not in ("experiment", "debug")}
    for index in range(max(map(len, names.values()))):
        words = [f"{group}={choices[index % len(choices)]}" for group, choices in names.items()]
        assert compose(words), words


@pytest.mark.parametrize("file", NAMED, ids=id_of)
def test_the_command_on_top_of_an_experiment_uses_it_and_composes(file):
    command = first_comment(file)
    assert command.startswith("bnexp train ")
    words = [word for word in command.split("  ")[0].split()[2:] if "=" in word]
    assert f"{file.parent.name}={file.stem}" in words
    assert expand(words)
