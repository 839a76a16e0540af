"""A registry refuses to overwrite and answers a misspelt name with the nearest one."""

from __future__ import annotations

import pytest

from bnexp.errors import UserError
from bnexp.registry import Registry


@pytest.fixture
def norms() -> Registry[int]:
    registry: Registry[int] = Registry("norm")
    registry.add("layer", 2)
    registry.decorate("batch")(1)
    return registry


def test_entries_come_back_by_name_and_names_in_order(norms):
    assert (norms["batch"], norms["layer"], list(norms)) == (1, 2, ["batch", "layer"])
    assert "batch" in norms
    assert "bacth" not in norms


def test_a_name_is_taken_once(norms):
    with pytest.raises(ValueError, match="two norm entries are named 'batch'"):
        norms.add("batch", 3)
    assert norms["batch"] == 1


def test_a_misspelt_name_is_a_user_error_with_the_nearest_one():
    claims: Registry[int] = Registry("claim")
    claims.add("fig1_speed", 1)
    with pytest.raises(UserError) as error:
        claims["fig1_sped"]
    assert error.value.todo == "claim=fig1_speed (known: fig1_speed)"


def test_a_component_whose_yaml_was_found_is_told_the_plugin_that_registers_it(norms, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        norms["dyt"]
    assert error.value.todo == 'plugins=[MODULE], the one with @register("dyt")'
    (tmp_path / "my_norm.py").write_text("@register('dyt')\ndef f(): ...\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        norms["dyt"]
    assert error.value.todo == "plugins=[my_norm]"


def test_decorating_leaves_what_is_decorated(norms):
    def build():
        return None

    assert Registry("model").decorate("mine")(build) is build
    assert norms["layer"] == 2
