"""Inductor is spared its search for vectors where the compiler takes their flags, and finds the same ones."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from bnexp.engine import cpp

PICKED = """
import sys
from bnexp.engine import cpp
from torch._inductor.cpu_vec_isa import pick_vec_isa
if sys.argv[1] == "settled":
    assert cpp.settle() == "", cpp.settle()
print(pick_vec_isa())
"""


@pytest.fixture
def settings():
    """Inductor's, as it comes, and put back afterwards."""
    from torch._inductor import config

    names = {"cpp.vec_isa_ok": None, "aot_inductor.enable_line_tables": True, "aot_inductor.enable_frame_pointer": True}
    cpp.settle.cache_clear()
    with config.patch(names):
        yield config
    cpp.settle.cache_clear()


@pytest.mark.slow
def test_the_same_vectors_are_found_without_the_search():
    found = [
        subprocess.run([sys.executable, "-c", PICKED, how], capture_output=True, text=True, check=True).stdout
        for how in ("searched", "settled")
    ]
    assert found[0].strip()
    assert found[0] == found[1]


@pytest.mark.parametrize(("said", "compiles"), [("exit 0", True), ("exit 1", None)])
def test_a_compiler_is_believed_if_it_takes_the_flags(settings, tmp_path, monkeypatch, said, compiles):
    from torch._inductor import cpp_builder, cpu_vec_isa

    compiler = tmp_path / "g++"
    compiler.write_text(f"#!/bin/sh\necho $@ > {tmp_path}/asked\n{said}\n", encoding="utf-8")
    compiler.chmod(0o755)
    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", lambda: str(compiler))
    monkeypatch.setattr(cpu_vec_isa, "x86_isa_checker", lambda: ["avx2"])
    assert bool(cpp.settle()) == (compiles is None)
    assert settings.cpp.vec_isa_ok is compiles
    assert settings.aot_inductor.enable_line_tables is False
    asked = (tmp_path / "asked").read_text(encoding="utf-8")
    assert "-mavx2" in asked
    assert "avx512" not in asked


def test_nobody_without_a_gpu_is_told_that_there_is_none(settings):  # noqa: ARG001 - tried anew
    cpp.settle()
    logger = logging.getLogger("torch.utils.cpp_extension")
    logger.setLevel(logging.WARNING)  # as torch does once it compiles
    told = [logger.filter(logger.makeRecord(logger.name, level, "", 0, "no GPU", (), None)) for level in (30, 40)]
    assert list(map(bool, told)) == [False, True]


def test_what_a_user_said_of_the_vectors_stays(settings):
    settings.cpp.vec_isa_ok = False
    assert cpp.settle() == ""
    assert settings.cpp.vec_isa_ok is False


def test_a_torch_without_these_names_goes_its_own_way(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch._inductor.cpu_vec_isa", None)
    assert "ModuleNotFoundError" in cpp.settle()
    assert settings.cpp.vec_isa_ok is None
