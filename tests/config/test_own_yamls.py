"""A folder of a user's own YAMLs: it adds to the groups, and what is wrong in a file is told with the file and its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnexp.config.compose import compose, expand
from bnexp.errors import UserError

MINE = "# My own.\nname: mine\nplacement: after\nstrength: 2\n"
GLOBAL = "# @package _global_\n# Mine.\n"


def put(folder: Path, name: str, text: str | bytes) -> Path:
    """Write ``name`` below ``folder``."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_a_users_own_folder_adds_to_a_group(tmp_path):
    put(tmp_path, "norm/mine.yaml", MINE)
    config = compose(["norm=mine", "norm.strength=3"], tmp_path)
    assert (config.norm.name, config.norm.placement, config.norm.options) == ("mine", "after", {"strength": 3})
    assert [one.norm.name for one in expand(["norm=mine,none", "seed=0"], tmp_path)] == ["mine", "none"]
    put(tmp_path, "norm/mine.yaml", MINE.replace("2", "4"))
    assert compose(["norm=mine"], tmp_path).norm.options == {"strength": 4}  # an edited file is read again


@pytest.mark.parametrize("number", ["1e-3", "0.001", ".001", "'0.001'", "1.0e-3"])
def test_a_number_in_a_yaml_may_be_written_as_people_write_it(tmp_path, number):
    put(tmp_path, "experiment/mine.yaml", f"{GLOBAL}optimizer: {{lr: {number}}}\ntrain: {{steps: 1e3}}\nforce: yes\n")
    config = compose(["experiment=mine"], tmp_path)
    assert (config.optimizer.lr, config.train.steps, config.force) == (0.001, 1000, True)


#: File, its content, what is chosen, and words that the message has.
WRONG = {
    "a tab": ("experiment/x.yaml", GLOBAL + "train:\n\tsteps: 3\n", ["x.yaml, line 4", "blanks instead of the tab"]),
    "a wrong indent": ("experiment/x.yaml", GLOBAL + "train:\n   steps: 3\n  batch_size: 2\n", ["x.yaml, line 5"]),
    "a key twice": ("experiment/x.yaml", GLOBAL + "seed: 3\nseed: 2\n", ["x.yaml, line 4", "duplicate key"]),
    "no package line": ("experiment/x.yaml", "train: {steps: 3}\n", ["x.yaml", "# @package _global_   as its first line"]),
    "a package line that is none": ("experiment/x.yaml", "# @package global\ntrain: {steps: 3}\n", ["# @package _global_"]),
    "a package line too many": ("norm/x.yaml", GLOBAL + "name: x\n", ["must not have a package line"]),
    "an unknown section": ("experiment/x.yaml", GLOBAL + "trian: {steps: 3}\n", ["no option trian", "train"]),
    "an unknown key": ("experiment/x.yaml", GLOBAL + "train: {stesp: 3}\n", ["train has no option train.stesp", "train.steps"]),
    "a key without a value": ("experiment/x.yaml", GLOBAL + "optimizer:\n  lr:\n", ["optimizer.lr must be a number", "None"]),
    "a section without values": ("experiment/x.yaml", GLOBAL + "train:\n", ["train must be a group of options"]),
    "nothing": ("experiment/x.yaml", "", ["this YAML is empty", "x.yaml"]),
    "comments alone": ("norm/x.yaml", "# My norm.\n---\n", ["this YAML is empty", "name: x"]),
    "no mapping": ("norm/x.yaml", "just words\n", ["no key: value", "x.yaml"]),
    "a field left out": ("model/x.yaml", "name: x\ninit: he\n", ["there is no value for model.init_scale"]),
    "latin-1": ("norm/x.yaml", "# größe\nname: x\n".encode("latin-1"), ["not UTF-8", "x.yaml, byte 4", "iconv"]),
    "a list for a number": ("experiment/x.yaml", GLOBAL + "optimizer: {lr: [0.1, 0.3]}\n", ["optimizer.lr=0.1,0.3"]),
    "a word for a number": ("experiment/x.yaml", GLOBAL + "train: {steps: ten}\n", ["train.steps must be a whole number"]),
    "an unknown choice": ("experiment/x.yaml", GLOBAL + "defaults: [{override /norm: bacth}]\n", ["norm=batch"]),
    "a comment before the package line": ("experiment/x.yaml", "# Mine.\n" + GLOBAL + "seed: 3\n", ["as its first line"]),
    "a byte-order mark": ("experiment/x.yaml", "\ufeff" + GLOBAL + "seed: 3\n", ["byte-order mark", "sed -i"]),
    "an octal number": ("experiment/x.yaml", GLOBAL + "train: {steps: 010}\n", ["in base 8", "x.yaml, line 3: 010", "try: 10"]),
    "a number with a colon": ("experiment/x.yaml", GLOBAL + "train:\n  steps: 1:30\n", ["in base 60", "x.yaml, line 4: 1:30"]),
    "a dollar in braces": ("experiment/x.yaml", GLOBAL + "train: {steps: ${seed}}\n", ["line 3", "{key: '${other.key}'}"]),
    "no list": ("experiment/x.yaml", GLOBAL + "train: {targets: None}\n", ["try: train.targets=[0.9,0.95]"]),
    "a list": ("experiment/x.yaml", GLOBAL + "- seed: 3\n", ["no key: value"]),
    "a choice as a value": ("experiment/x.yaml", GLOBAL + "norm: none\n", ["defaults: [override /norm: none]"]),
    "a choice less its slash": ("experiment/x.yaml", GLOBAL + "defaults: [override norm: none]\n", ["override /norm: none"]),
    "a key with a dot": ("experiment/x.yaml", GLOBAL + "train.steps: 20\n", ["try: train: {steps: 20}"]),
    "a comma list": ("experiment/x.yaml", GLOBAL + "seed: 0,1,2\n", ["try: seed=0,1,2"]),
    "thousands": ("experiment/x.yaml", GLOBAL + "train: {steps: '1,000'}\n", ["try: train.steps=1000"]),
    "another setting of Hydra's": (
        "experiment/x.yaml",
        GLOBAL + "seed: 1\nhydra:\n  run: {dir: x}\n  sweeper: {params: {seed: '0,1,2'}}\n",
        ["the sweep of an experiment, hydra: {sweeper: {params: ...}}", "x.yaml: hydra.run.dir, hydra.sweeper.params"],
    ),
    "a sweep in a norm": (
        "norm/x.yaml",
        "name: x\nhydra: {sweeper: {params: {seed: '0,1,2'}}}\n",
        ["in a YAML of experiment, or bnexp train seed=0,1,2"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_in_a_yaml_is_told(tmp_path, name):
    file, text, told = WRONG[name]
    put(tmp_path, file, text)
    group, choice = file.removesuffix(".yaml").split("/")
    with pytest.raises(UserError) as error:
        expand([f"{group}={choice}"], tmp_path)
    assert [words for words in told if words not in str(error.value)] == []


def test_a_name_of_ours_is_not_taken_by_a_file_that_would_not_be_read(tmp_path):
    put(tmp_path, "norm/batch.yaml", MINE)
    with pytest.raises(UserError, match="bnexp's own"):
        expand(["norm=batch"], tmp_path)
    assert expand(["norm=none"], tmp_path)


def test_a_file_that_is_not_where_it_is_looked_for_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "my_configs/norm/mine.yaml", MINE)
    put(tmp_path, "my_configs/norm/other.yml", MINE)
    put(tmp_path, "a.yaml", MINE)
    for extra, choice, todo in [
        (None, "norm=mine", "bnexp train --config-dir my_configs norm=mine"),
        (tmp_path / "my_configs/norm", "norm=mine", f"bnexp train --config-dir {tmp_path}/my_configs norm=mine"),
        (
            tmp_path / "my_configs",
            "norm=other",
            f"mv '{tmp_path}/my_configs/norm/other.yml' '{tmp_path}/my_configs/norm/other.yaml'",
        ),
        (None, "norm=my_configs/norm/mine.yaml", "bnexp train --config-dir my_configs norm=mine"),
        (None, "norm=a.yaml", "mkdir -p mine/norm && mv 'a.yaml' mine/norm/, then --config-dir mine norm=a"),
    ]:
        with pytest.raises(UserError) as error:
            expand([choice], extra)
        assert error.value.todo == todo
