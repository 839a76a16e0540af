"""``scripts/bench.py``: its arithmetic on made-up clocks, what its loops compute, and the whole of it once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from bnexp.config.compose import compose

SCRIPTS = Path(__file__).parents[2] / "scripts"


def row(mode, *ms, seeds=1, processes=1, skipped=""):
    """A loop's row whose rounds took ``ms`` milliseconds per step and seed."""
    seconds = [1e-3 * one * 100 * seeds * processes for one in ms]
    memory = [500_000_000] * processes
    fixed = {"mode": mode, "steps": 100, "seeds": seeds, "processes": processes}
    return {**fixed, "seconds": seconds, "memory": memory, "skipped": skipped}


def machine_of(**changes):
    """What :func:`benchmark.machine.describe` says of some machine."""
    return {
        "date": "2026-01-02", "system": "Linux", "processor": "Some CPU", "cores": 2, "load_before": 0.1, "python": "3.11",
        "versions": {"torch": "2.15", "jax": None}, "git": None, "threads": 2, "capability": "AVX512", "gpu": None,
    } | changes  # fmt: skip


def steps_of(*rows, isa="native", **changes):
    """What ``bench.json`` holds of an instruction set, with these loops in its only table."""
    table = {"network": "mlp", "norm": "batch", "device": "cpu", "steps": 100, "rows": rows}
    found = {
        "machine": machine_of(), "rounds": 3, "data": "digits", "tables": [table],
        "default_run": {"seconds": 9.0, "memory": 1.1e9}, "command": "bench", "minutes": 9.0, "isa": isa,
    }  # fmt: skip
    return found | changes


def verdicts(bench):
    from benchmark.targets import targets

    return {target.words: target for target in targets(bench)}


def test_what_all_processes_and_seeds_trained_counts_in_the_price():
    from benchmark.numbers import milliseconds

    both = {"seconds": [8.0], "steps": 1000, "seeds": 4, "processes": 2}
    assert milliseconds(both) == pytest.approx([1.0])


def test_ratios_are_taken_within_a_round_so_that_a_slow_round_does_not_count_for_one_side():
    from benchmark.numbers import ratio

    found = ratio(row("usual", 8.0, 80.0, 7.0), row("eager", 1.0, 10.0, 1.0))
    assert (found.median, found.high) == pytest.approx((8.0, 8.0))


def test_a_price_with_a_fixed_start_is_on_a_line_and_a_square_is_not():
    from benchmark.numbers import distance_from_line

    sizes = [1, 2, 4, 8]
    line, square = (np.array([[cost(size)] * 3 for size in sizes]) for cost in (lambda n: 5 + 2 * n, lambda n: n**2))
    assert distance_from_line(sizes, line).high == pytest.approx(0, abs=1e-9)
    assert distance_from_line(sizes, square).median > 0.1


def test_targets_hold_from_the_number_on_and_the_cheapest_of_our_loops_and_of_jaxs_counts():
    rows = [
        row("usual", 25, 25, 25), row("eager", 2, 2, 2), row("compiled", 1.3, 1.3, 1.3), row("floor", 1, 1, 1),
        row("compiled_pair", 1, 1, 1, processes=2), row("floor_best_pair", 0.5, 0.5, 0.5), row("jax", 1.2, 1.2, 1.2),
        row("jax_vmap", 1.29, 1.29, 1.29),
    ]  # fmt: skip
    found = verdicts(steps_of(*rows))
    assert found["all cores: the usual loop's price per step and seed, over ours"].holds is True
    assert found["all cores: JAX's best price per step and seed, over ours"].measured == "1.20 [1.20, 1.20]"
    assert found["all cores: JAX's best price per step and seed, over ours"].holds is False
    assert found["one thread: our step, over torch's bare products"].holds is True
    assert found["all cores: our price per step and seed, over the fastest kernel for each product"].holds is False
    assert found["memory of `bnexp train` as it comes"].holds is True
    assert "memory of `bnexp train` as it comes" not in verdicts(steps_of(*rows, isa="avx2"))


def test_the_convolutional_net_is_held_against_its_fastest_kernels():
    rows = [row("eager", 1, 1, 1)]
    pair = [row("compiled_pair", 24, 24, 24, processes=2), row("floor_best_pair", 20, 20, 20, processes=2)]
    bench = steps_of(*rows)
    bench["tables"].append({"network": "cnn", "norm": "batch", "device": "cpu", "steps": 100, "rows": pair})
    target = verdicts(bench)["convolutional net, two processes: our step, over the fastest kernel for each convolution"]
    assert (target.measured, target.holds) == ("1.20 [1.20, 1.20]", True)


def test_what_did_not_run_is_neither_held_nor_missed():
    found = verdicts(steps_of(row("eager", 1, 1, 1), row("jax_vmap", skipped="jax is not installed")))
    assert found["all cores: JAX's best price per step and seed, over ours"].holds is None


def test_on_a_gpu_a_step_of_all_runs_is_held_against_a_step_of_one():
    from benchmark import gpu

    rows = [row("usual", 10, 10, 10), row("compiled", 1, 1, 1), row("stacked_compiled", 0.05, 0.05, 0.05, seeds=64)]
    found = {"rounds": 3, "tables": [{"network": "mlp", "norm": "batch", "device": "cuda", "steps": 100, "rows": rows}]}
    (target,) = gpu.targets(found)
    assert (target.measured, target.holds) == ("3.20 [3.20, 3.20]", False)
    assert "| 0.0500 [0.0500, 0.0500] | 200.0 [200.0, 200.0] |" in gpu.section(found)


def test_the_page_says_what_was_not_run_and_names_no_place_of_the_machine():
    from benchmark.page import page

    rows = row("usual", 8, 8, 8), row("eager", 1, 1, 1), row("jax", skipped="jax is not installed")
    text = page({"steps": {"AVX512": steps_of(*rows), "AVX2, held": steps_of(*rows, isa="avx2")}})
    assert text.count("### Instructions: AVX2, to which the same processor was held") == 1
    assert "- JAX, compiled: jax is not installed" in text
    assert "| bnexp, eager | 1.000 [1.000, 1.000] | 8.0 [8.0, 8.0] |" in text
    assert str(Path.home()) not in text
    assert str(SCRIPTS.parent) not in text


def test_folders_of_the_machine_stay_out_of_the_record():
    from benchmark.contest import Result
    from benchmark.plan import SMOKE, base_job

    job = base_job(SMOKE, "cnn", "batch", "cpu", "/secret/data", "/secret/images.npz")
    assert "secret" not in json.dumps(Result(job, 1, (1.0,), (1,)).as_json())


def test_contestants_take_turns_and_the_warm_up_turn_is_not_counted(monkeypatch):
    from benchmark import contest
    from benchmark.plan import SMOKE, base_job

    log = []

    class FakeWorker:
        def __init__(self, job):
            self.name = job.norm[0]

        def go(self):
            log.append(self.name)

        def turn(self):
            return float(len(log))

        def close(self):
            return 7

    monkeypatch.setattr(contest, "Worker", FakeWorker)
    jobs = [base_job(SMOKE, "mlp", norm, "cpu", None, "") for norm in ("batch", "none")]
    first, second = contest.hold(jobs, lambda _: None)
    assert log == ["b", "n", "b", "n"]
    assert (first.seconds, second.seconds, first.memory) == ((1.0, 3.0), (2.0, 4.0), (7,))


def test_a_worker_that_breaks_down_leaves_its_last_words_and_the_others_go_on(monkeypatch):
    from benchmark import contest
    from benchmark.plan import SMOKE, base_job

    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    job = base_job(SMOKE, "mlp", "batch", "cpu", None, "")
    (result,) = contest.hold([job], lambda _: None)
    assert result.skipped == "failed: no reason given"


def test_our_loop_takes_its_turns(small, tmp_path):
    from benchmark import ours
    from benchmark.plan import SMOKE, base_job

    job = replace(base_job(SMOKE, "mlp", "batch", "cpu", str(tmp_path), ""), steps=7, turns=3, batch_size=20)
    seconds = []
    with mock.patch.object(
        ours, "config_of", lambda _, steps: compose([*small, f"train.steps={steps}"])
    ):
        ours.one_run(job, seconds.append)
        ours.stacked_runs(replace(job, seeds=2), seconds.append)
    assert len(seconds) == 6
    assert min(seconds) > 0


@pytest.mark.parametrize(("network", "count"), [("mlp", 11), ("cnn", 10)])
def test_every_kernel_of_a_product_gives_the_same_and_the_images_gradient_is_left_out(network, count):
    from benchmark.floor import products
    from benchmark.plan import SMOKE, base_job

    found = products(base_job(SMOKE, network, "batch", "cpu", None, ""))
    assert len(found) == count
    for kernels in found:
        first, *others = (as_tuple(kernel()) for kernel in kernels)
        for other in others:
            torch.testing.assert_close(other, first, rtol=1e-3, atol=1e-2)
    if network == "cnn":
        of_input, of_weight, of_bias = found[1][0]()
        assert (of_input is None, of_weight is None, of_bias is None) == (True, False, True)


def as_tuple(result):
    return tuple(one for one in (result if isinstance(result, tuple) else (result,)) if one is not None)


@pytest.mark.parametrize("network", ["mlp", "cnn"])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_the_textbook_networks_have_the_parameters_of_ours(network, norm):
    from benchmark.ours import SETTINGS
    from benchmark.plan import SMOKE, base_job
    from benchmark.textbook import textbook

    from bnexp.models.factory import build_model
    from bnexp.norms.factory import norm_factory

    before = torch.get_rng_state()
    theirs, _ = textbook(base_job(SMOKE, network, norm, "cpu", None, ""))
    assert torch.equal(torch.get_rng_state(), before)
    overrides = [word for word in SETTINGS[network] if not word.startswith("dataset.")]
    config = compose([*overrides, f"norm={norm}"])
    factory = norm_factory(config.norm, batch_size=60, generator=torch.Generator())
    ours = build_model(config.model, (1, 28, 28) if network == "mlp" else (3, 32, 32), 10, factory, 0)
    assert [p.shape for p in theirs.parameters()] == [p.shape for p in ours.parameters()]


@pytest.mark.parametrize("network", ["mlp", "cnn"])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_step_in_jax_is_the_textbooks_step(network, norm):
    jax = pytest.importorskip("jax", reason="jax is not installed, and no dependency")
    from benchmark.images import MEAN, SD
    from benchmark.jax_scan import initial, one_step
    from benchmark.plan import SMOKE, base_job
    from benchmark.textbook import textbook

    job = base_job(SMOKE, network, norm, "cpu", None, "")
    model, optimizer = textbook(job)
    shape = (20, 1, 28, 28) if network == "mlp" else (20, 3, 32, 32)
    images = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(20) % 10
    parameters, statistics = initial(job, np.random.default_rng(0))
    matrices = [p for p in model.parameters() if p.ndim > 1]
    for layer, matrix in zip(parameters, matrices, strict=True):
        layer["weight"] = jax.numpy.asarray(turned(matrix))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
    arrays = (jax.numpy.asarray(tensor.numpy()) for tensor in (images.permute(0, 2, 3, 1), labels.int()))
    step = jax.jit(one_step(job, *arrays))
    (moved, seen), (loss, _) = step((parameters, statistics), np.arange(20))
    expected = torch.nn.functional.cross_entropy(model((images.float() / 255 - MEAN) / SD), labels)
    expected.backward()
    optimizer.step()
    assert float(loss) == pytest.approx(expected.item(), rel=1e-4)
    for layer, matrix in zip(moved, matrices, strict=True):
        np.testing.assert_allclose(layer["weight"], turned(matrix), rtol=1e-3, atol=1e-4)
    for mine, theirs in zip(seen, (m for m in model.modules() if hasattr(m, "running_var")), strict=True):
        np.testing.assert_allclose(mine["variance"], theirs.running_var, rtol=1e-3)


def turned(matrix):
    """torch's outputs-first layout as JAX's outputs-last."""
    axes = (1, 0) if matrix.ndim == 2 else (2, 3, 1, 0)
    return matrix.detach().permute(*axes).numpy().copy()


def test_images_in_memory_look_like_torchvisions():
    from benchmark.images import PilImages

    images = torch.arange(2 * 4, dtype=torch.uint8).view(2, 1, 2, 2)
    grey = PilImages(images, torch.tensor([3, 7]), lambda image: image)
    image, target = grey[1]
    assert (len(grey), image.mode, list(image.tobytes()), target) == (2, "L", [4, 5, 6, 7], 7)
    colour, _ = PilImages(images.expand(2, 3, 2, 2), torch.tensor([3, 7]), lambda image: image)[0]
    assert (colour.mode, colour.size) == ("RGB", (2, 2))


def test_redrawing_without_numbers_is_refused(tmp_path):
    import bench

    from bnexp.errors import UserError

    with pytest.raises(UserError, match=r"(?s)there is nothing to redraw.*try: python scripts/bench\.py"):
        bench.main(["redraw", "--out", str(tmp_path)])


def test_instructions_are_chosen_for_parts_that_are_kept_for_each_set_and_for_no_others(tmp_path):
    import bench

    from bnexp.errors import UserError

    with pytest.raises(UserError, match=r"(?s)--isa is for steps, answers, busy.*got: growth.*try: bench\.py growth"):
        bench.main(["growth", "--isa", "avx2", "--out", str(tmp_path)])


@pytest.mark.parametrize("isa", [None, "avx2"])
def test_a_part_that_was_held_down_says_so_and_leaves_a_machine_with_no_more_its_place(monkeypatch, tmp_path, isa):
    import bench
    from benchmark import busy

    asked = []
    monkeypatch.setattr(bench, "describe", lambda: machine_of(capability=os.environ.get("ATEN_CPU_CAPABILITY", "avx512").upper()))
    commands = {"train": {"words": "a run", "command": ["train"], "quiet": [2.0], "busy": [3.0], "processor": [[2.0, 2.0]]}}

    def measured(*_):
        asked.append(os.environ.get("ONEDNN_MAX_CPU_ISA"))
        return {"commands": commands, "cores": 2}

    monkeypatch.setattr(busy, "measure", measured)
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    known = {"busy": {"AVX2": {"command": "bench", "minutes": 1, "machine": machine_of(), "found": measured()}}}
    (tmp_path / "bench.json").write_text(json.dumps(known))
    asked.clear()
    assert bench.main(["busy", *(["--isa", isa] if isa else []), "--out", str(tmp_path)]) == 0
    kept = json.loads((tmp_path / "bench.json").read_text())["busy"]
    assert kept["AVX2"] == known["busy"]["AVX2"]
    assert list(kept) == ["AVX2", "AVX2, held" if isa else "AVX512"]
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    title = "AVX2, to which the same processor was held (`--isa`)" if isa else "AVX512"
    assert asked == ["AVX2" if isa else None]
    assert f"### Instructions: {title}\n\n| command |" in text


def test_with_fewer_instructions_the_loops_of_the_targets_are_measured_and_no_others():
    from benchmark.plan import FULL, base_job, table_jobs

    native, forced = (
        {job.mode for job in table_jobs(FULL, base_job(FULL, "mlp", "batch", "cpu", None, ""), fewer)} for fewer in (False, True)
    )
    assert {"usual", "jax", "jax_vmap", "compiled", "compiled_pair", "floor", "floor_best_pair"} < forced < native
    assert native - forced == {"lightning", "stacked_compiled", "stacked_pair", "looks_light", "looks_full"}


def test_fewer_instructions_are_asked_of_everybody_and_only_for_a_while(monkeypatch):
    from benchmark.isa import at_most

    monkeypatch.setenv("XLA_FLAGS", "--mine")
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    before = dict(os.environ)
    with at_most("avx2"):
        assert (os.environ["ATEN_CPU_CAPABILITY"], os.environ["ONEDNN_MAX_CPU_ISA"]) == ("avx2", "AVX2")
        assert os.environ["XLA_FLAGS"] == "--mine --xla_cpu_max_isa=AVX2"
        assert "avx2" in os.environ["TORCHINDUCTOR_CACHE_DIR"]
    assert dict(os.environ) == before
    with at_most("native"):
        assert dict(os.environ) == before


@pytest.mark.slow
def test_the_smallest_benchmark_runs_and_its_page_can_be_redrawn(tmp_path):
    command = [sys.executable, str(SCRIPTS / "bench.py"), "--out", str(tmp_path / "out"), "--data-dir", str(tmp_path / "data")]
    small = ["--size", "smoke", "--isa", "native"]
    done = subprocess.run([*command, *small], capture_output=True, text=True, timeout=1200, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    bench = json.loads((tmp_path / "out" / "bench.json").read_text(encoding="utf-8"))
    for found in bench["steps"].values():
        rows = found["tables"][0]["rows"]
        assert [one["skipped"] for one in rows] == [""] * len(rows)
        assert {len(one["seconds"]) for one in rows} == {found["rounds"]}
        assert all(size > 50e6 for one in rows for size in one["memory"])
    assert {"answers", "busy", "growth"} < set(bench)
    assert not [curve for curve in bench["growth"]["found"]["curves"].values() if "skipped" in curve]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["README.md", "bench.json", "bench.png", "growth.png"]
    again = subprocess.run([*command, "redraw"], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert again.stdout == done.stdout
