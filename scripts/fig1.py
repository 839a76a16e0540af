#!/usr/bin/env python
"""The paper's first experiment, from run records to figure and numbers, as results/fig1/DECLARATION.md says.

scripts/fig1.py best   [--runs-dir runs]   each arm's own best learning rate, from the tuning runs
scripts/fig1.py export [--runs-dir runs]   copy what the figure needs from the runs into results/fig1/records
scripts/fig1.py draw                       figure, tuning curve and RESULTS.md from results/fig1/records alone
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from bnexp.figures.curves import draw_curves
from bnexp.figures.style import COLORS, LINE_STYLES, SETTINGS, save
from bnexp.figures.tracks import draw_tracks, median_unit
from bnexp.records import paths
from bnexp.records.curves import time_to_target
from bnexp.records.reader import RunRecord, find_runs
from bnexp.stats.intervals import intervals_by_bootstrap, intervals_by_t

FOLDER = Path(__file__).resolve().parent.parent / "results" / "fig1"
RECORDS = FOLDER / "records"
TUNING_SEEDS = (1000, 1001, 1002)
SEEDS = tuple(range(8))
TARGETS = (0.90, 0.95, 0.97)
TRACK = "hidden3/post_norm/unit_quantiles"


def main() -> None:
    """Carry out one of the three sub-commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("best", "export", "draw"))
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    if arguments.what == "best":
        print(json.dumps(best_rates(paper_runs(arguments.runs_dir))))
    elif arguments.what == "export":
        export(arguments.runs_dir)
    else:
        draw()


def paper_runs(folder: Path) -> list[RunRecord]:
    """The complete runs of the declared setting: everything but norm, learning rate and seed as in ``experiment=paper_mnist``."""
    return [run for run in find_runs(folder) if run.complete and _is_declared(run.header["config"])]


def _is_declared(config: dict[str, Any]) -> bool:
    return (
        config["dataset"]["name"] == "mnist"
        and config["dataset"]["binarize"]
        and config["train"]["steps"] == 50_000
        and config["model"]["init_scale"] == 0.1
        and config["optimizer"]["momentum"] == 0
        and config["norm"]["name"] in ("none", "batch")
    )


def setting(run: RunRecord) -> tuple[str, float, int]:
    """Norm, learning rate and seed of a run."""
    config = run.header["config"]
    return config["norm"]["name"], config["optimizer"]["lr"], config["seed"]


def final_accuracy(run: RunRecord) -> float:
    """Mean of the last five validation accuracies; 0 for a diverged run."""
    values = run.curve("val/accuracy").values[-5:]
    return float(np.mean([value or 0.0 for value in values])) if run.status == "finished" else 0.0


def tuning_table(runs: list[RunRecord]) -> dict[str, dict[float, list[RunRecord]]]:
    """Norm to learning rate to its tuning runs."""
    table: dict[str, dict[float, list[RunRecord]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        norm, lr, seed = setting(run)
        if seed in TUNING_SEEDS:
            table[norm][lr].append(run)
    return table


def best_rates(runs: list[RunRecord]) -> dict[str, float]:
    """Each arm's own best learning rate: highest mean final validation accuracy over the tuning seeds."""
    return {
        norm: max(rates, key=lambda lr, rates=rates: np.mean([final_accuracy(run) for run in rates[lr]]))
        for norm, rates in tuning_table(runs).items()
    }


def export(runs_dir: Path) -> None:
    """Headers, ends and validation curves of all runs; the tracks of the last hidden layer for seed 0."""
    shutil.rmtree(RECORDS, ignore_errors=True)
    for run in paper_runs(runs_dir):
        target = RECORDS / run.folder.name
        target.mkdir(parents=True)
        for name in (paths.HEADER, paths.END):
            shutil.copy(run.folder / name, target / name)
        with (target / paths.EVENTS).open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(event) + "\n" for event in run.events() if event["name"] == "val/accuracy")
        if setting(run)[2] == 0:
            (target / paths.PROBES).mkdir()
            arrays = run.arrays("layer_inputs")
            np.savez_compressed(
                target / paths.PROBES / "layer_inputs.npz", steps=arrays["steps"], **{TRACK: arrays[TRACK]}
            )


def reported_arms(runs: list[RunRecord]) -> dict[str, dict[int, RunRecord]]:
    """The declared arms, each from seed to run; where both arms chose the same rate, the same-rate arm is the own-rate one."""
    best = best_rates(runs)
    rates = {"none": ("none", best["none"]), "batch": ("batch", best["batch"])}
    if best["batch"] != best["none"]:
        rates["batch_same_lr"] = ("batch", best["none"])
    found = {setting(run): run for run in runs}
    return {
        arm: {seed: found[norm, lr, seed] for seed in SEEDS if (norm, lr, seed) in found}
        for arm, (norm, lr) in rates.items()
    }


def labels(arms: Iterable[str]) -> dict[str, str]:
    """Arms in words."""
    own = "own best rate" if "batch_same_lr" in arms else "own best rate, the same as without"
    return {
        "none": "without BN, own best rate",
        "batch": f"with BN, {own}",
        "batch_same_lr": "with BN, the same rate as without",
    }


def draw() -> None:
    """Both figures and the page of numbers."""
    runs = find_runs(RECORDS)
    arms = reported_arms(runs)
    with plt.rc_context(dict(SETTINGS)):
        draw_figure(arms)
        draw_tuning(runs)
    (FOLDER / "RESULTS.md").write_text(results_page(runs, arms), encoding="utf-8")


def draw_figure(arms: dict[str, dict[int, RunRecord]]) -> None:
    """The paper's three panels."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10.5, 3.4), width_ratios=(1.25, 1, 1))
    short = {"none": "without BN", "batch": "with BN", "batch_same_lr": "with BN, other's rate"}
    for arm, by_seed in arms.items():
        curves = [run.curve("val/accuracy") for run in by_seed.values()]
        rate = setting(next(iter(by_seed.values())))[1]
        label = f"{short[arm]}, learning rate {rate:g}"
        draw_curves(curves, left, color=COLORS[arm], linestyle=LINE_STYLES[arm], label=label)
    left.set(ylabel="validation accuracy", ylim=(0.7, 1.0), title="(a) how fast it learns: mean and range of seeds")
    left.legend(loc="upper left", fontsize=7.5, handlelength=2.4)
    for axes, arm, title in ((middle, "none", "(b) without BN"), (right, "batch", "(c) with BN")):
        _draw_track_panel(axes, arms[arm][0], arm, title)
    middle.sharey(right)
    for axes, first in ((left, 10), (middle, 1), (right, 1)):
        axes.set_xscale("symlog", linthresh=first)
        axes.set_xlim(first if axes is left else 0, 50_000)
        axes.set_xlabel("training steps (log scale)")
    save(figure, FOLDER / "fig1")
    plt.close(figure)


def _draw_track_panel(axes: Axes, run: RunRecord, arm: str, title: str) -> None:
    arrays = run.arrays("layer_inputs")
    unit = median_unit(arrays[TRACK])
    draw_tracks(arrays["steps"], arrays[TRACK], axes, unit=unit, color=COLORS[arm])
    axes.set(ylabel="input to the sigmoid", title=f"{title}: unit {unit} of layer 3, seed 0")
    for quantile, name in zip(arrays[TRACK][-1, unit], ("15 %", "50 %", "85 %"), strict=True):
        place = {"xytext": (3, 0), "textcoords": "offset points", "va": "center", "annotation_clip": False}
        axes.annotate(name, (50_000, quantile), fontsize=7, color=COLORS[arm], **place)


def draw_tuning(runs: list[RunRecord]) -> None:
    """Final accuracy and steps to 0.95 of every learning rate tried, one point a seed."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.2))
    for norm, rates in tuning_table(runs).items():
        ordered = sorted(rates)
        style = {"color": COLORS[norm], "linestyle": LINE_STYLES[norm], "label": f"norm={norm}"}
        for axes, measure in ((left, final_accuracy), (right, _steps_to_95)):
            points = [[measure(run) for run in rates[lr]] for lr in ordered]
            axes.plot(ordered, [np.median(row) for row in points], **style)
            axes.plot(
                np.repeat(ordered, [len(row) for row in points]),
                np.concatenate(points),
                ".",
                color=COLORS[norm],
                markersize=4,
            )
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xlabel("learning rate")
        axes.legend()
    lowest = min(value for axes in [left] for line in axes.lines for value in line.get_ydata() if value > 0.9)
    left.set(
        ylabel="final validation accuracy", title="tuning: median and each of 3 seeds", ylim=(lowest - 0.002, None)
    )
    right.set(ylabel="steps to 0.95", title="median and each of 3 seeds", yscale="log")
    save(figure, FOLDER / "tuning")
    plt.close(figure)


def _steps_to_95(run: RunRecord) -> int:
    return time_to_target(run.curve("val/accuracy"), 0.95).steps


def results_page(runs: list[RunRecord], arms: dict[str, dict[int, RunRecord]]) -> str:
    """RESULTS.md: every declared endpoint with its interval."""
    best = best_rates(runs)
    machine = next(iter(arms["none"].values())).header
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in arms.values())))
    return PAGE.format(
        best_none=best["none"],
        best_batch=best["batch"],
        num_seeds=len(seeds),
        steps=_steps_table(arms, seeds),
        accuracy=_accuracy_table(arms, seeds),
        drift=_drift_table(arms, seeds),
        tuning=_tuning_rows(runs),
        commands="\n".join(f"    {next(iter(by_seed.values())).header['command']}" for by_seed in arms.values()),
        processor=machine["machine"]["processor"],
        cores=machine["machine"]["cores"],
        torch=machine["versions"]["torch"],
        python=machine["versions"]["python"],
        data=machine["data"]["checksum"],
    )


def _steps_table(arms: dict[str, dict[int, RunRecord]], seeds: list[int]) -> str:
    baseline_final = float(np.median([final_accuracy(arms["none"][seed]) for seed in seeds]))
    targets = [(f"{target:.2f}", target) for target in TARGETS]
    targets.append(
        (f"baseline's median final accuracy - 0.5 points ({baseline_final - 0.005:.4f})", baseline_final - 0.005)
    )
    lines = _header("target", "steps without BN", arms)
    for name, target in targets:
        times = {arm: [time_to_target(arms[arm][seed].curve("val/accuracy"), target) for seed in seeds] for arm in arms}
        cells = [name, _median_steps(times["none"])]
        for arm in _with_bn(arms):
            cells += [_median_steps(times[arm]), _ratio(times["none"], times[arm])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _with_bn(arms: Iterable[str]) -> list[str]:
    return [arm for arm in arms if arm != "none"]


def _header(first: str, second: str, arms: Iterable[str]) -> list[str]:
    """The first two lines of a table with two columns for every arm with BN."""
    cells = [first, second, *(cell for arm in _with_bn(arms) for cell in (labels(arms)[arm], "ratio [95 %]"))]
    return ["| " + " | ".join(cells) + " |", "|---|" + "--:|" * (len(cells) - 1)]


def _median_steps(times: list[Any]) -> str:
    reached = sum(time.observed for time in times)
    words = f"{np.median([time.steps for time in times]):,.0f}"
    return words if reached == len(times) else f"{reached} of {len(times)} reached it"


def _ratio(base: list[Any], arm: list[Any]) -> str:
    if not all(time.observed for time in (*base, *arm)):
        return "censored"
    pair = [time.steps for time in base], [time.steps for time in arm]
    by_t, by_bootstrap = (
        intervals_by_t(*pair, "ratio")[0],
        intervals_by_bootstrap(*pair, "ratio", np.random.default_rng(0))[0],
    )
    return f"{by_t:.2f}; bootstrap [{by_bootstrap.low:.2f}, {by_bootstrap.high:.2f}]"


def _accuracy_table(arms: dict[str, dict[int, RunRecord]], seeds: list[int]) -> str:
    def scores(arm: str, key: str) -> list[float]:
        return [100 * arms[arm][seed].end["test"][key] for seed in seeds]

    base = scores("none", "accuracy")
    lines = [
        "| arm | test accuracy, mean of seeds | minus no BN, points [95 %] |",
        "|---|--:|--:|",
        f"| {labels(arms)['none']} | {np.mean(base):.2f} % | |",
    ]
    for arm in _with_bn(arms):
        for key, words in (("accuracy", "running statistics"), ("recomputed_accuracy", "recomputed statistics")):
            values = scores(arm, key)
            lines.append(
                f"| {labels(arms)[arm]}, {words} | {np.mean(values):.2f} % | {intervals_by_t(base, values)[0]:+.2f} |"
            )
    return "\n".join(lines)


def _drift_table(arms: dict[str, dict[int, RunRecord]], seeds: list[int]) -> str:
    def drift(arm: str, point: str, key: str) -> list[float]:
        return [arms[arm][seed].end["probes"]["layer_inputs"][point][key] for seed in seeds]

    rows = {
        "median's total variation, early fifth": ("post_norm", "tv50_early"),
        "median's total variation, the rest": ("post_norm", "tv50_late"),
        "log spread's total variation, early fifth": ("post_norm", "tv_spread_early"),
        "log spread's total variation, the rest": ("post_norm", "tv_spread_late"),
        "next layer's input: mean's step, in sd": ("next_input", "drift_mean"),
        "next layer's input: net change of log sd": ("next_input", "net_sd"),
    }
    lines = _header("median of all 300 hidden units", "without BN", arms)
    for words, (point, key) in rows.items():
        base = drift("none", point, key)
        cells = [words, f"{np.mean(base):.3g}"]
        for arm in _with_bn(arms):
            values = drift(arm, point, key)
            ratio = intervals_by_t(base, values, "ratio")[0]
            cells += [f"{np.mean(values):.3g}", f"{ratio:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _tuning_rows(runs: list[RunRecord]) -> str:
    table = tuning_table(runs)
    rates = sorted({lr for norm in table.values() for lr in norm})
    lines = [
        "| learning rate | " + " | ".join(f"norm={norm}: final accuracy, steps to 0.95" for norm in table) + " |",
        "|--:|" + "--:|" * len(table),
    ]
    for lr in rates:
        cells = [f"{lr:g}"]
        for norm in table:
            tried = table[norm][lr]
            accuracy = 100 * float(np.mean([final_accuracy(run) for run in tried]))
            cells.append(
                f"{accuracy:.2f} %, {np.median([_steps_to_95(run) for run in tried]):,.0f} ({len(tried)} seeds)"
            )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


PAGE = """# Numbers of the paper's first experiment

Written by `scripts/fig1.py draw` from `results/fig1/records`; do not edit. What they mean is in [README.md](README.md); what was
fixed beforehand is in [DECLARATION.md](DECLARATION.md). Intervals are over {num_seeds} paired seeds (other initial weights and
batch orders, same data and split); bands in the figure are the range over seeds.

Own best learning rates: {best_none:g} without BN, {best_batch:g} with BN.

## Steps to a validation accuracy (median over seeds; ratio is the geometric mean of without/with)

{steps}

## Test accuracy after 50,000 steps

{accuracy}

## How much the inputs of the sigmoids move

{drift}

## The tuning runs

{tuning}

![tuning](tuning.png)

## Machine and commands

{processor}, {cores} cores, one thread a run, two runs at a time; torch {torch}, Python {python}; data checksum `{data}`.
Times were taken on a busy machine and are not reported. Per arm, seed 0 (the others: `seed=1` to `seed=7`):

{commands}
"""

if __name__ == "__main__":
    main()
