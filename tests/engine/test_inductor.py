"""A compiled graph is kept on the disk: another process of the machine finds it, and trains the same with it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

from bnexp.engine import inductor

CODE = """
import json, torch
from bnexp.config.compose import compose
from bnexp.engine.build import build, load_data
from bnexp.engine.graph import GraphStep
from bnexp.runs.settle import settled

torch.set_num_threads(1)
config = settled(compose(["dataset=mnist_5k", "norm=batch", "model.width=12"], None))
experiment = build(config, load_data(config))
step = GraphStep(experiment)
losses = [step(torch.arange(60))[0].item() for _ in range(5)]
from torch._dynamo.utils import counters
print(json.dumps([losses, step.kernels, dict(counters["inductor"])]))
"""


def trained(cache: Path, first: str = "", **more: str):
    """Losses, names of kernels and Inductor's counts of a process that does ``first`` before it compiles."""
    own = {"TORCHINDUCTOR_CACHE_DIR": str(cache), "TORCHINDUCTOR_COMPILE_THREADS": "2", **more}
    done = subprocess.run(
        [sys.executable, "-c", first + CODE], env={**os.environ, **own}, capture_output=True, text=True, check=True, timeout=300
    )
    return json.loads(done.stdout)


@pytest.mark.slow  # two processes that compile, half a minute
def test_another_process_finds_what_one_has_compiled(tmp_path):
    losses, kernels, made = trained(tmp_path)
    again, same_kernels, found = trained(tmp_path)
    assert (made.get("fxgraph_cache_miss"), made.get("fxgraph_cache_hit")) == (1, None)
    assert (found.get("fxgraph_cache_miss"), found.get("fxgraph_cache_hit")) == (None, 1)
    assert again == losses
    assert kernels == same_kernels
    # of other vectors nothing is taken over
    default, _, other = trained(tmp_path, ATEN_CPU_CAPABILITY="default")
    assert other.get("fxgraph_cache_hit") is None
    assert default == pytest.approx(losses, rel=1e-3)


def libraries(cache: Path) -> set[Path]:
    return set(cache.rglob("*.main.so"))


@pytest.mark.slow  # compiles three kernels
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_kernels_ask_ahead_for_what_leaves_the_caches_and_for_nothing_else(monkeypatch):
    sources, own = [], inductor.prefetching
    monkeypatch.setattr(inductor, "prefetching", lambda source: sources.append(own(source)) or sources[-1])
    for side, threads in ((512, 1), (520, 2), (64, 2)):
        monkeypatch.setattr("torch._inductor.async_compile.get_compile_threads", lambda threads=threads: threads)
        x, scale = torch.randn(side, side), torch.randn(side)
        graph = make_fx(lambda x, scale: (x * scale - 1,))(x, scale)
        assert_close(inductor.fused(graph, [x, scale])(x, scale)[0], x * scale - 1)
    asked = [set(re.findall(r"__builtin_prefetch\((\w+) \+ .*?, (\d)\);", source)) for source in sources]
    assert asked == [{("in_ptr0", "0"), ("out_ptr0", "1")}] * 2
    assert inductor.prefetching("tmp0.store(out_ptr0 + static_cast<int64_t>(x1));") == (
        "tmp0.store(out_ptr0 + static_cast<int64_t>(x1));"
    )


UNITS = "from bnexp.engine import inductor\n"


@pytest.mark.slow  # five processes that compile, two minutes
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_kernels_that_are_compiled_together_compute_what_each_compiled_alone_does(tmp_path):
    one, few, broken = (tmp_path / name for name in ("one", "few", "broken"))
    alone = trained(one, UNITS + "inductor.KERNELS_A_UNIT = 1\n")[0]
    assert trained(few)[0] == alone
    found = libraries(few)
    assert 1 < len(found) < len(libraries(one)) / 2
    assert trained(few)[0] == alone
    assert libraries(few) == found
    # whatever is wrong with our part of it, torch's own way is left
    assert trained(broken, UNITS + "inductor._Kernel.as_module = None\n")[0] == alone
    assert len(libraries(broken)) == len(libraries(one))


@pytest.mark.parametrize("lost", ["torch._inductor.async_compile", "torch._inductor.codecache"])
def test_a_torch_without_the_names_for_units_compiles_kernel_by_kernel_and_says_so(monkeypatch, lost):
    from torch._inductor import async_compile
    from torch._inductor.async_compile import AsyncCompile

    own = AsyncCompile.cpp_pybinding
    monkeypatch.setattr(async_compile, "get_compile_threads", lambda: 2)
    with inductor.few_units():
        assert AsyncCompile.cpp_pybinding is not own
    assert AsyncCompile.cpp_pybinding is own
    said: list[str] = []
    monkeypatch.setattr(inductor, "say_once", said.append)
    monkeypatch.setattr(async_compile, "get_compile_threads", lambda: 2)
    monkeypatch.setitem(sys.modules, lost, None)
    with inductor.few_units():
        assert AsyncCompile.cpp_pybinding is own
    assert [line.partition(" (")[0] for line in said] == ["kernels are compiled one by one, which takes longer"]


def test_a_torch_without_these_names_compiles_every_time_and_says_so(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(inductor, "say_once", said.append)
    some = torch.zeros(60, 100)
    with inductor.kept_on_disk() as (of_fixed_shape, options):
        assert set(options) == {"cpp.simdlen"}
        assert all(type(size) is int for size in of_fixed_shape(some).shape)
        assert torch._guards.TracingContext.try_get() is not None
    monkeypatch.setitem(sys.modules, "torch._subclasses.fake_tensor", None)
    with inductor.kept_on_disk() as (of_fixed_shape, options):
        assert options == {}
        assert of_fixed_shape(some) is some
        assert torch._guards.TracingContext.try_get() is None
    assert [line.partition(" (")[0] for line in said] == ["compiled kernels are not found again by other processes"]
