"""A user's own module is imported from the working folder, or told with file and line why it cannot be."""

from __future__ import annotations

import sys

import pytest

from bnexp.config.plugins import import_plugins
from bnexp.errors import UserError
from bnexp.registry import Registry


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """The working folder is ``tmp_path``; what was imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


#: Name, content, and words that the message has.
BROKEN = {
    "a missing package": (
        "needs",
        "x = 1\nimport not_installed_thing.sub\n",
        ["'not_installed_thing', which is not", "needs.py, line 2", "pip install not_installed_thing"],
    ),
    "no Python": ("syntax", "def broken(:\n", ["is not Python", "syntax.py, line 1"]),
    "an exception": ("fails", "def f():\n    return 1 / 0\n\nf()\n", ["ZeroDivisionError: division by zero", "fails.py, line 2"]),
    "a taken name": (
        "taken",
        "from bnexp.norms import register\n\n@register('batch')\ndef f(num_features, dims): ...\n",
        ["two norm entries are named 'batch'", "taken.py, line "],  # Python 3.10 says 4, later ones 3
    ),
    "a script that ends": ("ends", "import sys\nsys.exit('usage: ...')\n", ["SystemExit", "ends.py, line 2"]),
    "itself": ("circle", "from circle import x\n", ["cannot import name 'x'", "circle.py, line 1"]),
    "a module of Python's": ("colorsys", "raise AssertionError\n", ["hidden by an installed module", "plugins=[my_colorsys]"]),
    "a helper that is missing": ("helped", "from . import helper\n", ["ImportError", "helped.py, line 1"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_what_stops_an_import_is_told_with_file_and_line(kind, tmp_path):
    name, text, told = BROKEN[kind]
    (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        import_plugins([name])
    assert [words for words in told if words not in str(error.value)] == []
    assert "folder that holds" not in str(error.value)


@pytest.mark.parametrize("name", ["nowhere_to_be_found", "nowhere_to_be_found.inside"])
def test_a_module_that_is_nowhere_is_told_where_it_is_looked_for(name):
    with pytest.raises(UserError, match="'nowhere_to_be_found' is not found") as error:
        import_plugins([name])
    assert error.value.todo == f"run from the folder that holds {name.replace('.', '/')}.py, or install it"


def test_a_plugin_that_registers_nothing_is_told_and_one_in_a_folder_is_found(tmp_path, capsys):
    (tmp_path / "idle_plugin.py").write_text("", encoding="utf-8")
    (tmp_path / "layers_of_mine").mkdir()
    (tmp_path / "layers_of_mine" / "busy.py").write_text(
        "from bnexp.registry import Registry\nRegistry('norm').add('busy', 1)\n", encoding="utf-8"
    )
    before = Registry.num_entries
    import_plugins(["idle_plugin", "layers_of_mine.busy"])
    assert Registry.num_entries == before + 1
    assert (
        capsys.readouterr().err == "note: the plugin idle_plugin registers nothing; @register(...) is missing in it\n"
    )


def test_a_file_of_the_working_folder_does_not_take_the_place_of_a_package(tmp_path):
    (tmp_path / "zipapp.py").write_text("raise AssertionError\n", encoding="utf-8")
    (tmp_path / "plugin_beside_it.py").write_text("import zipapp\n", encoding="utf-8")
    import_plugins(["plugin_beside_it"])
    assert sys.path[-1] == str(tmp_path)
