"""``bnexp eval``: accuracy and loss of the weights that a run kept, without training anything."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnexp.cli.main import DONE
from bnexp.cli.rerun import config_dir_of, import_recorded, recorded_config
from bnexp.cli.run_list import find
from bnexp.cli.settings import Parser, as_flags, plugin_names
from bnexp.cli.table import columns, percent
from bnexp.errors import UserError, nearest
from bnexp.stats.verdict import counted

if TYPE_CHECKING:
    from bnexp.engine.build import Set
    from bnexp.engine.kept import Kept

#: Settings of the command itself; ``dataset=`` and its options are overrides.
SETTINGS = ("runs_dir", "statistics", "split", "device", "data_dir", "plugins")


def main(argv: list[str]) -> int:
    """Put the net together from the record and its weights, and score it."""
    overrides = [word for word in argv if word.partition("=")[0].lstrip("+").split(".")[0] == "dataset" and "=" in word]
    arguments = _parser().parse_args(as_flags("eval", [word for word in argv if word not in overrides], SETTINGS))
    record = find(arguments.run, arguments.runs_dir, "eval")
    recorded = recorded_config(record)
    _check("split", arguments.split, ("test", "validation", "train"))
    if arguments.statistics:
        _check("statistics", arguments.statistics, ("running", "recomputed", "batch"))
    if arguments.fold and arguments.statistics not in ("", "running"):
        got = f"--fold statistics={arguments.statistics}"
        raise UserError("a folded net has its running statistics in its weights", got=got, todo="--fold alone")

    from bnexp.config.again import changed

    extra_dir = config_dir_of(record, arguments.config_dir)
    import_recorded(record, plugin_names(arguments.plugins), "eval")
    where = {"device": arguments.device, "data_dir": arguments.data_dir}
    (config,) = changed(recorded)
    others = changed(recorded, overrides, extra_dir) if overrides else []
    if len(others) > 1:
        raise UserError("one data set is wanted here, not a sweep", got=" ".join(overrides), todo="dataset=NAME")

    from bnexp.engine.kept import find_split, load_kept, score  # imports torch

    kept = load_kept(record, replace(config, **where))
    split = find_split(kept, arguments.split, replace(others[0], **where) if others else None)
    if arguments.fold:
        return _tell_fold(record.folder.name, kept, split, arguments.json)
    wanted = [arguments.statistics] if arguments.statistics else kept.statistics
    scores = {name: score(kept, split, name) for name in wanted}
    dataset = (others or [config])[0].dataset.name
    if arguments.json:
        told: dict[str, Any] = {"run": record.folder.name, "step": kept.step, "dataset": dataset, "split": arguments.split}
        told["num_examples"] = len(split)
        told |= {
            name: {"accuracy": one.accuracy, "loss": one.loss if math.isfinite(one.loss) else None}
            for name, one in scores.items()
        }
        print(json.dumps(told))
        return DONE
    print(f"{record.folder.name}\n  weights after {kept.step:,} steps, {len(split):,} examples: {dataset}, {arguments.split}")
    rows = [[f"{name} statistics", percent(one.accuracy), f"{one.loss:.4f}"] for name, one in scores.items()]
    if len(kept.statistics) == 1:
        rows[0][0] = "no running statistics"
    print(columns([["", "accuracy", "loss (nats)"], *rows], indent="  "))
    return DONE


def _parser() -> Parser:
    parser = Parser(
        "bnexp eval",
        usage="bnexp eval RUN [dataset=NAME] [statistics=running|recomputed|batch] [split=test|validation|train] [runs_dir=DIR] "
        "[device=NAME] [data_dir=DIR] [plugins=[MODULE]] [--fold] [--json]",
        description="Accuracy and loss of a run's kept weights (train.keep=last|best). Without statistics=, by each kind that the "
        "net has: running, recomputed on these weights, and those of each batch. Another data set needs pictures of one shape.",
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", nargs="?")
    parser.add_argument("--runs-dir", type=Path)
    parser.add_argument("--statistics", default="")
    parser.add_argument("--split", default="test")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data-dir")
    parser.add_argument("--plugins", default="", metavar="[MODULE]", help="your own modules that the run was made with")
    parser.add_argument("-cd", "--config-dir", help="your own config folder (default: the one the run was made with)")
    parser.add_argument("--fold", action="store_true",
                        help="put each norm into the layer before it: is the net the same, and how much faster?")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser


def _tell_fold(name: str, kept: Kept, split: Set, as_json: bool) -> int:
    """What became of each norm, whether the folded net says the same, and how fast it is."""
    from bnexp.engine.kept import folded

    found = folded(kept, split)
    if as_json:
        print(json.dumps({"run": name, "step": kept.step, **asdict(found)}))
        return DONE
    done = [one for one in found.norms if one.layer]
    time = found.time
    print(f"{name}\n  weights after {kept.step:,} steps; {len(done)} of {counted(len(found.norms), 'norm')} folded")
    rows = [
        ["accuracy", f"{percent(found.before.accuracy)} before, {percent(found.after.accuracy)} after"],
        ["largest difference", f"{found.difference:.1e} of an output, over {counted(len(split), 'example')}"],
        ["inference", f"{time.before_ms:.3f} ms before, {time.after_ms:.3f} ms after, for {counted(found.batch, 'example')}"],
        ["", f"{time.times:.2f} times as fast [{time.low:.2f}, {time.high:.2f}], 90 % of {time.rounds} paired rounds"],
        *([f"{one.norm} stays", one.reason] for one in found.norms if not one.layer),
    ]
    print(columns(rows, indent="  "))
    return DONE


def _check(key: str, value: str, options: tuple[str, ...]) -> None:
    if value not in options:
        todo = f"{key}={nearest(value, options) or options[0]}"
        raise UserError(f"{key} must be one of {', '.join(options)}", got=f"{key}={value}", todo=todo)
