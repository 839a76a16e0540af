"""What people may mean by a name, key or value that ``bnexp`` does not know: by another word for it, its last part, or likeness."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bnexp.config.paths import config_dir, group_files, groups, option_owners
from bnexp.errors import UserError, nearest, unknown_name

#: What people write for no choice at all, and the choice that it is.
NOTHING = ("", "null", "none", "no", "off", "false", "~")
NO_CHOICE = {"norm": "none", "probes": "none", "schedule": "constant"}

#: Names people know things by, less signs and capitals, to ours.
_NAMES = {
    "norm": {
        "bn": "batch", "ln": "layer", "gn": "group", "in": "instance", "wn": "weight", "brn": "renorm", "gbn": "ghost",
        "batchrenorm": "renorm", "rmsnorm": "rms", "identity": "none", "id": "none", "l1": "lp", "l2": "lp",
    },
    "model": {
        "fc": "mlp", "fcn": "mlp", "fcnet": "mlp", "dense": "mlp", "lenet": "cnn", "conv": "cnn", "convnet": "cnn",
        "googlenet": "inception", "logistic": "linear", "softmax": "linear",
    },
    "dataset": {
        "cifar": "cifar10", "fashion": "fashion_mnist", "fmnist": "fashion_mnist", "digits": "mnist_5k", "folder": "image_folder",
        "images": "image_folder", "imagefolder": "image_folder", "numpy": "npz", "colouredmnist": "coloured_digits",
        "coloredmnist": "coloured_digits", "coloreddigits": "coloured_digits",
    },
    "optimizer": {"momentum": "sgd", "nesterov": "sgd"},
    "schedule": {"multistep": "step", "exp": "exponential", "none": "constant"},
    "probes": {"all": "full", "default": "light"},
}  # fmt: skip

#: Keys people know from elsewhere to ours; any other is looked for by its last part.
KEYS = {
    "learning_rate": "optimizer.lr", "wd": "optimizer.weight_decay", "optim": "optimizer", "opt": "optimizer",
    "optimiser": "optimizer", "scheduler": "schedule", "lr_scheduler": "schedule", "warmup": "schedule.warmup_steps",
    "bs": "train.batch_size", "batch": "train.batch_size", "batchsize": "train.batch_size",
    "epoch": "train.epochs", "epochs": "train.epochs", "num_epochs": "train.epochs", "max_epochs": "train.epochs",
    "num_steps": "train.steps", "max_steps": "train.steps", "iterations": "train.steps", "iters": "train.steps",
    "training": "train", "trainer": "train", "data": "dataset", "datasets": "dataset", "network": "model", "net": "model",
    "arch": "model", "models": "model", "normalization": "norm", "norm_layer": "norm", "normalizer": "norm", "norms": "norm",
    "gpu": "device", "cuda": "device", "workers": "execution.jobs", "num_workers": "execution.jobs", "n_jobs": "execution.jobs",
    "output_dir": "runs_dir", "outdir": "runs_dir", "output": "runs_dir", "out": "runs_dir", "seeds": "seed",
    "num_threads": "threads", "layers": "model.depth", "num_layers": "model.depth", "hidden": "model.width",
    "hidden_size": "model.width", "amp": "execution.precision", "probe": "probes", "plugin": "plugins",
    "ddp": "execution.ddp", "world_size": "execution.ddp", "nproc_per_node": "execution.ddp",
}  # fmt: skip

#: Keys that norms with running statistics have, and no others.
_OF_STATISTICS = ("norm.freeze_after", "norm.track")

#: Signs of printed text that get pasted, and those that a shell knows.
PRINTED = str.maketrans("–—−‐‑“”„«»‘’‚´`＝，", '-----""""' + "\"'''''=,")
#: What to type where nothing comes near.
HELP = "bnexp train --help   shows groups, keys and values"


def keys_meant(key: str, here: Iterable[str]) -> list[str]:
    """Keys that ``key`` may stand for, best first: by another name, by its last part, by likeness."""
    name = key.strip("-").lower().replace("-", "_").replace("/", ".")
    known = sorted({*here, *option_owners(), *groups()})
    last = name.split(".")[-1]
    if name in known or name in KEYS:
        return [KEYS.get(name, name)] if name not in known else [name]
    head = name.split(".")[0]
    if "." in name and KEYS.get(head, head) + name[len(head) :] in known:
        return [KEYS.get(head, head) + name[len(head) :]]
    same = [one for one in known if one.split(".")[-1] == last and "." in one and not one.endswith(".name")]
    order = ("train", "optimizer", "model", "dataset", "schedule", "norm")
    same.sort(key=lambda one: order.index(one.split(".")[0]) if one.split(".")[0] in order else len(order))
    near = [one for one in known if not one.endswith(".name") and ("." not in name or one.startswith(f"{head}."))]
    beside = {one.split(".")[-1]: one for one in near}
    swapped = next((one for one in beside if sorted(one) == sorted(last)), "")
    guess = beside.get(swapped or nearest(last, beside, 0.6) or "")
    if not same and last in KEYS:
        return [KEYS[last]]
    return same or ([guess] if guess else [])


def _name_meant(group: str, name: str, known: Sequence[str]) -> str | None:
    guess = _NAMES.get(group, {}).get(re.sub(r"[^a-z0-9]", "", name.lower()))
    return guess if guess in known else nearest(name, known)


def unknown_option(key: str, value: str, here: Iterable[str], chosen: Callable[[str], str]) -> UserError:
    """The error for a key that is not among those of this config; ``chosen`` gives the name chosen in a group."""
    section = key.split(".")[0]
    beside = sorted(one for one in here if one.startswith(f"{section}.") or section == one)
    has_names = section in groups() and len(beside) > 0
    owner = f"{section}={chosen(section)}" if has_names else section if beside else "a run"
    owners = option_owners().get(key, ())
    if owners:
        owner_of_it = next((name for name in owners if name in value), owners[0])
        todo = as_typed(f"{section}={owner_of_it}", f"{key}={value}")
    else:
        meant = keys_meant(key, here)
        todo = (
            f"{as_typed(f'{meant[0]}={value}')}" + (f"   or {', '.join(meant[1:])}" if meant[1:] else "")
            if meant
            else HELP
        )
        options = [one for one in beside if one != section and not one.endswith(".name")]
        todo += f" (options: {', '.join(options)})" if options else ""
    why = ", because it keeps no running statistics" if key in _OF_STATISTICS else ""
    return UserError(f"{owner} has no option {key}{why}", got=f"{key}={value}", todo=todo)


def unknown_choice(group: str, names: Sequence[str], known: Sequence[str], extra: Path | None) -> UserError:
    wrong = next(name for name in names if name not in known)
    if len(wrong) > 200:  # longer than any file's name can be
        return unknown_name(group, f"{wrong[:40]}...", known)
    if (file := (extra or Path()) / group / f"{wrong}.yml").is_file():
        return UserError("a config file ends in .yaml", got=file, todo=f"mv '{file}' '{file.with_suffix('.yaml')}'")
    places = [f"{group}/{wrong}.yaml", f"*/{group}/{wrong}.yaml"] if re.fullmatch(r"[\w-]+", wrong) else []
    here = [file for place in places for file in Path().glob(place)]
    if extra and extra.name == group and (extra / f"{wrong}.yaml").is_file():
        here = [extra / f"{wrong}.yaml"]
    if ("/" in wrong or wrong.endswith(".yaml")) and (file := Path(f"{wrong.removesuffix('.yaml')}.yaml")).is_file():
        here, wrong = [file], file.stem
        if file.resolve().parent.name != group:
            todo = f"mkdir -p mine/{group} && mv '{file}' mine/{group}/, then --config-dir mine {group}={wrong}"
            return UserError(f"a YAML of {group} is found by its name, in a folder {group}/", got=file, todo=todo)
    if here and here[0].parent.resolve() != (config_dir() / group).resolve():
        folder = here[0].parent.parent
        return UserError(
            f"{group}={wrong} is in a folder that --config-dir does not name", got=here[0],
            todo=as_typed("bnexp train --config-dir", str(folder), f"{group}={wrong}"),
        )  # fmt: skip
    meant = [name if name in known else _name_meant(group, name, known) for name in names]
    whole = ",".join(str(name) for name in meant) if all(meant) else _name_meant(group, wrong, known)
    return unknown_name(group, wrong, known, whole)


def no_choice(key: str, text: str) -> UserError:
    defaults = {"model": "mlp", "dataset": "mnist_5k", "optimizer": "sgd", **NO_CHOICE}
    name = defaults.get(key) or next(iter(group_files(key)))
    what = f"no {key} is written {key}={name}" if key in NO_CHOICE else f"a run needs a {key}"
    return UserError(what, got=text, todo=f"{key}={name}")


def as_typed(*words: str) -> str:
    """Words as one types them into a shell; quoted where it would take their signs for its own."""
    harmless = re.compile(r"[\w@%+=:,./\[\]^-]+|[^=]* --[\w-]+")
    return " ".join(word if harmless.fullmatch(word) else shlex.quote(word) for word in words)
