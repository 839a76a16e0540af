"""``bnexp reproduce`` with a subject, with settings of ``bnexp train``, and with a user's own modules."""

from __future__ import annotations

import json
import sys

import pytest

from bnexp.claims import CLAIMS
from bnexp.claims.judge import judge_all
from bnexp.norms.factory import NORMS
from bnexp.records.reader import find_runs

MY_NORM = '''
from torch import nn

from bnexp.norms import register


@register("doubled")
def doubled(num_features, dims):
    return nn.BatchNorm1d(num_features)
'''

MY_CLAIM = '''
from bnexp.claims import register
from bnexp.claims.base import Claim, Endpoint, Evidence, Grid
from bnexp.stats.rules import Difference
from bnexp.stats.sample import Sample


def analyse(runs, rng):
    base, arm = ([record.end["test"]["accuracy"] for record in runs.reported(arm)] for arm in runs.arms())
    return Evidence(samples={"loss": Sample.of(arm, base)})


register(Claim(
    id="of_mine", section="M1", statement="Mine.", source="me", disputed_by="", formula="a - b",
    control="norm=none", subject="norm=doubled", analyse=analyse, draw=lambda *_: None, say=lambda *_: "Said.",
    endpoints={"loss": Endpoint("difference", Difference(null=0, smallest=0.1))},
    grids=(Grid(overrides=OVERRIDES, arms={"control": "{control}", "subject": "{subject}"}, budgets={"quick": ()},
                num_seeds={"quick": 2}),),
))
'''


@pytest.fixture
def told(bnexp):
    """The verdicts of a reproduction that went well, and what it said on its way."""

    def reproduce(*words: str) -> tuple[list[dict], str]:
        answer = bnexp("reproduce", *words, "jobs=1", "--json")
        assert answer.code == 0, answer.err
        return json.loads(answer.out), answer.err

    return reproduce


@pytest.fixture
def trained(tmp_path):
    """Norms of all runs that there are."""
    return lambda: sorted(record.header["config"]["norm"]["name"] for record in find_runs(tmp_path / "runs"))


@pytest.mark.slow
def test_another_subject_shares_the_controls_runs_and_is_shown_beside_the_claim(told, tiny_claim, trained, tmp_path):
    claim = tiny_claim(tuned=False)
    told("tiny")
    (varied,), err = told("tiny", "subject=norm=batch")
    assert (varied["claim"], varied["variant"], varied["missing_runs"]) == ("tiny", ["subject=norm=batch"], 0)
    assert err.count("finished in") == 2
    assert trained() == ["batch"] * 2 + ["layer"] * 2 + ["none"] * 2
    both = judge_all([claim], "quick", tmp_path / "runs")
    assert [one.claim.key for one in both] == ["tiny", "tiny subject=norm=batch"]
    own, other = ([cell.run_id for cell in one.runs.cells] for one in both)
    assert own[:2] == other[:2]
    assert not set(own[2:]) & set(other[2:])


@pytest.mark.slow
def test_the_page_of_a_variant_shows_the_claim_as_well(bnexp, tiny_claim, tmp_path):
    tiny_claim(tuned=False)
    assert bnexp("reproduce", "tiny", "jobs=1").code == 0
    answer = bnexp("reproduce", "tiny", "subject=norm=batch", "jobs=1")
    assert answer.code == 0, answer.err
    assert [line.split()[0] for line in answer.out.splitlines() if line.strip()][1:3] == ["tiny", "subject=norm=batch:"]
    page = (tmp_path / "runs" / "report" / "index.html").read_text(encoding="utf-8")
    assert "subject=norm=batch" in page
    assert page.count("Tiny runs differ.") >= 2


@pytest.mark.slow
def test_a_tuned_variant_tunes_its_subject_and_nothing_else(told, tiny_claim, trained):
    tiny_claim()
    told("tiny")
    assert trained() == ["layer"] * 4 + ["none"] * 4  # two rates tried, two seeds reported
    told("tiny", "subject=norm=batch")
    assert trained() == ["batch"] * 4 + ["layer"] * 4 + ["none"] * 4


@pytest.mark.slow
def test_options_of_a_subject_are_joined_by_commas(told, tiny_claim, tmp_path):
    tiny_claim(tuned=False)
    told("tiny", "subject=norm=ghost,norm.ghost_size=5")
    sizes = [record.header["config"]["norm"]["options"].get("ghost_size") for record in find_runs(tmp_path / "runs")]
    assert sorted(sizes, key=str) == [5, 5, None, None]


def test_settings_are_those_of_every_arm(told, tiny_claim, tmp_path):
    tiny_claim(tuned=False)
    (varied,), _ = told("tiny", "model.depth=2", "dataset.validation_examples=40")
    assert varied["variant"] == ["model.depth=2", "dataset.validation_examples=40"]
    configs = [record.header["config"] for record in find_runs(tmp_path / "runs")]
    assert [(one["model"]["options"]["depth"], one["dataset"]["validation_examples"]) for one in configs] == [(2, 40)] * 4


def test_another_data_set_takes_the_place_of_the_declared_one(bnexp, tiny_claim):
    tiny_claim(tuned=False)
    answer = bnexp("reproduce", "tiny", "dataset=mnist_5k", "--dry-run")
    assert answer.code == 2  # its path is an option of another data set
    assert "dataset.path" in answer.err


def test_dataset_of_a_claim_that_names_no_file_can_be_changed(tiny_claim, tmp_path):
    from bnexp.claims.base import BUDGETS
    from bnexp.claims.variants import variant_of
    from bnexp.runs.plan import make_plan

    tiny_claim()
    made = make_plan([variant_of(CLAIMS["fig1_speed"], ("dataset=kmnist",))], BUDGETS["smoke"], tmp_path / "runs")
    assert {job.config.dataset.name for job in made.jobs.values() if job.config} == {"kmnist"}


# What is told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("subject=batch",), ["a subject is an override", "try: subject=norm=batch"]),
        (("subject=norm=bach",), ["bach", "batch"]),
        (("model.dept=2",), ["dept", "depth"]),
        (("subject=norm=batch", "budgt=quick"), ["budgt"]),
        (("model.depth=many",), ["depth", "many"]),
    ],
)
def test_wrong_words_are_told_before_anything_is_run(bnexp, tiny_claim, tmp_path, words, told):
    tiny_claim(tuned=False)
    answer = bnexp("reproduce", "tiny", "jobs=1", *words)
    assert (answer.code, answer.out) == (2, "")
    assert [part for part in told if part not in answer.err] == []
    assert not (tmp_path / "runs").exists()


def test_a_claim_without_a_subject_says_so_and_names_one_that_has_one(bnexp, tiny_claim):
    tiny_claim(tuned=False, control="", subject="", arms={"a": "norm=none", "b": "norm=layer"})
    answer = bnexp("reproduce", "tiny", "subject=norm=batch")
    assert answer.code == 2
    assert "tiny is not about a layer that could be another one\n  got: subject=norm=batch\n  try: " in answer.err
    assert "fig1_speed" in answer.err


# A user's own modules

OWN = ("plugins=[of_mine_norm]", "--config-dir", "of_mine")


@pytest.fixture
def _mine(monkeypatch, tmp_path):
    """A norm of one's own in the working folder; what a plugin registers and imports is gone afterwards."""
    (tmp_path / "of_mine_norm.py").write_text(MY_NORM, encoding="utf-8")
    (tmp_path / "of_mine" / "norm").mkdir(parents=True)
    (tmp_path / "of_mine" / "norm" / "doubled.yaml").write_text("# Mine.\nname: doubled\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    entries, modules = [dict(CLAIMS._entries), dict(NORMS._entries)], set(sys.modules)
    yield
    for registry, before in zip((CLAIMS, NORMS), entries, strict=True):
        for name in set(registry._entries) - set(before):
            del registry._entries[name]
    for name in set(sys.modules) - modules:
        if name.startswith("of_mine"):
            del sys.modules[name]


@pytest.mark.slow
@pytest.mark.usefixtures("_mine")
def test_plugins_bring_a_norm_and_a_claim_of_their_own(told, small, trained, tmp_path):
    (tmp_path / "of_mine_claim.py").write_text(f"OVERRIDES = {(*small, 'plugins=[of_mine_norm]')!r}\n{MY_CLAIM}", encoding="utf-8")
    (mine,), err = told("of_mine", "config_dir=of_mine", "plugins=[of_mine_norm,of_mine_claim]")
    assert (mine["claim"], mine["missing_runs"], mine["variant"]) == ("of_mine", 0, [])
    assert err.count("finished in") == 4
    assert trained() == ["doubled"] * 2 + ["none"] * 2


@pytest.mark.slow
@pytest.mark.usefixtures("_mine")
def test_a_norm_of_ones_own_is_put_to_a_claim_and_shares_the_controls_runs(told, tiny_claim, trained):
    tiny_claim(tuned=False)
    told("tiny")
    (mine,), err = told("tiny", "subject=norm=doubled", *OWN)
    assert mine["variant"] == ["subject=norm=doubled", "plugins=[of_mine_norm]"]
    assert err.count("finished in") == 2
    assert trained() == ["doubled"] * 2 + ["layer"] * 2 + ["none"] * 2


def test_a_variant_of_a_measurement_is_refused_before_anything_is_measured(bnexp, tmp_path):
    answer = bnexp("reproduce", "step_cost", "dataset=mnst", "--dry-run")
    assert answer.code == 2
    assert "dataset=mnist" in answer.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("_mine")
def test_a_norm_of_ones_own_is_measured_too_and_an_edited_plugin_is_another_measurement(told, tmp_path):
    def measured() -> list[str]:
        return sorted(path.name for path in (tmp_path / "runs").glob("step_cost-*"))

    (mine,), _ = told("step_cost", "subject=norm=doubled", "dataset=mnist_5k", "budget=smoke", *OWN)
    assert (mine["variant"][0], mine["missing_runs"], mine["outcome"]) == ("subject=norm=doubled", 0, "INCONCLUSIVE")
    first = measured()
    with (tmp_path / "of_mine_norm.py").open("a", encoding="utf-8") as file:
        file.write("\nEDITED = True\n")
    told("step_cost", "subject=norm=doubled", "dataset=mnist_5k", "budget=smoke", *OWN)
    assert len(measured()) == 2 * len(first) > 0
