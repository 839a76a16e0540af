"""A declaration put to another layer, data set or net: what a variant is, what it sets in which arm, and what has none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bnexp.claims import CLAIMS
from bnexp.claims.base import Grid, Measurement
from bnexp.claims.runs import Cell, kept_cells, write_cells
from bnexp.claims.variants import from_key, overrides_of, variant_of
from bnexp.cli.reproduce import split_variant
from bnexp.errors import UserError

SPEED = CLAIMS["fig1_speed"]
ALGEBRA = replace(SPEED, id="algebra", grids=(), control="", subject="")
TRAINS_ITSELF = replace(
    ALGEBRA, measurement=Measurement(measure=dict, num_seeds={"quick": 1}, takes_subject=True), subject="norm=batch"
)


def test_without_words_it_is_the_claim_itself():
    assert variant_of(SPEED, ()) is SPEED


def test_another_subject_leaves_the_control_and_everything_declared_alone():
    found = variant_of(SPEED, ("subject=norm=ghost,norm.ghost_size=16",))
    assert found.subject == "norm=ghost norm.ghost_size=16"
    assert (found.control, found.endpoints, found.grids) == (SPEED.control, SPEED.endpoints, SPEED.grids)
    assert (found.id, found.key) == ("fig1_speed", "fig1_speed subject=norm=ghost,norm.ghost_size=16")
    assert SPEED.key == "fig1_speed"


def test_other_settings_leave_the_subject_alone_and_are_set_in_every_arm():
    found = variant_of(SPEED, ("dataset=fashion_mnist", "model.depth=6"))
    assert found.subject == SPEED.subject
    for arm in ("{control}", "{subject}", "norm=rms"):
        assert overrides_of(found, arm) == ("dataset=fashion_mnist", "model.depth=6")


def test_a_subject_is_no_override_of_an_arm_and_its_plugins_are_of_its_own_arm_only():
    found = variant_of(SPEED, ("subject=norm=mine", "plugins=[my_norm]"))
    assert overrides_of(found, "{subject} model.depth=3") == ("plugins=[my_norm]",)
    assert overrides_of(found, "{control}") == ()
    everywhere = variant_of(SPEED, ("dataset=stripes", "plugins=[my_data]"))
    assert overrides_of(everywhere, "{control}") == ("dataset=stripes", "plugins=[my_data]")


@pytest.mark.parametrize(
    ("claim", "words", "told"),
    [
        (ALGEBRA, ("subject=norm=ghost",), ["algebra is not about a layer", "got: subject=norm=ghost", "a claim that is: "]),
        (ALGEBRA, ("model.depth=6",), ["trains no net that a setting", "got: model.depth=6", "bnexp reproduce algebra"]),
        (SPEED, ("subject=ghost",), ["a subject is an override", "got: subject=ghost", "try: subject=norm=ghost"]),
    ],
)  # fmt: skip
def test_what_cannot_be_varied_says_why_and_what_can(claim, words, told):
    with pytest.raises(UserError) as error:
        variant_of(claim, words)
    assert [part for part in told if part not in str(error.value)] == []


def test_a_claim_that_is_about_a_layer_is_named_where_one_is_not():
    with pytest.raises(UserError) as error:
        variant_of(ALGEBRA, ("subject=norm=ghost",))
    assert "fig1_speed" in (error.value.todo or "")


def test_a_measurement_that_trains_nets_can_be_varied():
    assert variant_of(TRAINS_ITSELF, ("subject=norm=ghost", "model.depth=6")).subject == "norm=ghost"
    assert variant_of(replace(ALGEBRA, grids=(Grid(arms={"a": ""}, budgets={}),)), ("model.depth=6",)).variant


def test_a_key_leads_back_to_its_variant_and_an_unknown_one_nowhere():
    for words in ((), ("subject=norm=ghost,norm.ghost_size=16", "model.depth=6")):
        assert from_key(variant_of(SPEED, words).key) == variant_of(SPEED, words)
    assert from_key("no_such_claim subject=norm=ghost") is None


def test_words_of_the_command_and_of_the_variant_are_told_apart():
    words = ["fig1_speed", "subject=norm=mine", "budget=smoke", "--json", "dataset=kmnist", "jobs=2", "plugins=[mine]"]
    own, varied = split_variant(words)
    assert own == ["fig1_speed", "budget=smoke", "--json", "jobs=2", "plugins=[mine]"]
    assert varied == ("subject=norm=mine", "dataset=kmnist", "plugins=[mine]")
    assert split_variant(["tiny", "plugins=[mine]"]) == (["tiny", "plugins=[mine]"], ())


def test_runs_of_claim_and_variants_are_kept_apart(tmp_path):
    variants = [variant_of(SPEED, words) for words in ((), ("subject=norm=ghost",), ("dataset=npz", "dataset.path=/a b/c:d.npz"))]
    cells = [
        Cell(grid=0, regime="own", arm="subject", value=None, seed=seed, run_id=f"run-{seed}", command="made up")
        for seed in range(len(variants))
    ]
    for variant, cell in zip(variants, cells, strict=True):
        write_cells(tmp_path, "quick", variant, [cell])
    kept = kept_cells(tmp_path, "quick")
    assert kept == {variant.key: [cell] for variant, cell in zip(variants[:2], cells, strict=False)} | {variants[2].key: [cells[2]]}
