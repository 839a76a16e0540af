"""What a run is made of: frozen dataclasses that refuse a wrong value the moment they are built.

The values live in ``configs/``; these classes say what is allowed: each field names its check, and a field without one is what its
annotation says. Nothing here imports torch, so a mistake is answered at once and before a folder is made.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache, partial
from typing import Any, ClassVar

from bnexp.config import checks
from bnexp.config.processes import MOST_THREADS
from bnexp.errors import UserError, unknown_name

Options = Mapping[str, Any]

INITS = ("gaussian", "he", "glorot", "lecun", "orthogonal")
STANDARDIZE = ("none", "unit", "center", "global", "per_pixel")
PLACEMENTS = ("before", "after")
SCHEDULES = ("constant", "step", "exponential", "cosine")
KEEP = ("none", "last", "best")
RETRY = ("none", "failed")
ONLY = ("all", "norm", "output", "random")
ORDERS = ("shuffled", "fixed", "one_class", "two_classes")

#: Fields that say where or how a run is carried out, not what it computes; they do not enter its identity, bf16 and ddp apart.
COSMETIC = ("device", "threads", "execution", "runs_dir", "data_dir", "force", "retry", "max_failures")


def _by(check: Callable[..., Any], default: Any = MISSING, **limits: Any) -> Any:
    """A field whose value is ``check(key, value, **limits)``."""
    return field(default=default, metadata={"check": partial(check, **limits)})


def _each(check: Callable[..., Any], shown: str, default: Any = MISSING, **limits: Any) -> Any:
    """A field whose value is a list, each entry of it checked."""

    def all_of(key: str, value: Any) -> tuple[Any, ...]:
        return tuple(check(key, entry, **limits) for entry in checks.several(key, value, example=shown))

    return _by(all_of, default)


class Section:
    """A part of a config: every field is converted and checked as the part is built."""

    group: ClassVar[str] = ""
    name: str

    def __post_init__(self) -> None:
        for name, key, check, optional in _fields(type(self)):  # type: ignore[arg-type]
            value = getattr(self, name)
            missing = optional and (value is None or value in ("None", "none", "null"))
            object.__setattr__(self, name, None if missing else check(key, value))
        if options := getattr(self, "options", None):
            object.__setattr__(self, "options", checks.as_default(self.group, self.name, options))


@cache
def _fields(kind: Any) -> list[tuple[str, str, Callable[[str, Any], Any], bool]]:
    """Name, key in a message, check, and whether null is allowed, of each field."""
    hints = typing.get_type_hints(kind)
    found = []
    for one in fields(kind):
        key = f"{kind.group}.{one.name}" if kind.group else one.name
        check = one.metadata.get("check") or partial(
            checks.typed, hint=hints[one.name], todo=f"bnexp train --help   shows {key}"
        )
        found.append((one.name, key, check, type(None) in typing.get_args(hints[one.name])))
    return found


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Section):
    """A model by name, its weight initialisation and its own options (depth, width, ...)."""

    group = "model"
    name: str
    init: str = _by(checks.choice, options=INITS)
    init_scale: float = _by(checks.real, above=0, example=1.0)
    options: Options


@dataclass(frozen=True, kw_only=True)
class NormConfig(Section):
    """A normaliser by name, where it stands relative to the nonlinearity, and its own options.

    After ``freeze_after`` steps it normalises by its running statistics in training too; without ``track`` it has none.
    """

    group = "norm"
    name: str
    placement: str = _by(checks.choice, options=PLACEMENTS)
    freeze_after: int | None = _by(checks.whole, None, least=1, example=1000)
    track: bool = _by(checks.flag, True)
    options: Options


@dataclass(frozen=True, kw_only=True)
class DatasetConfig(Section):
    """A data source by name, what is taken from it and how a batch is prepared.

    ``train_examples`` null means all that the validation split leaves; ``pad`` adds zero pixels on each side; ``crop`` is the
    largest shift of a random crop in pixels.
    """

    group = "dataset"
    name: str
    validation_examples: int = _by(checks.whole, least=1, example=1000)
    train_examples: int | None = _by(checks.whole, least=1, example=1000)
    binarize: bool = _by(checks.flag)
    standardize: str = _by(checks.choice, options=STANDARDIZE)
    pad: int = _by(checks.whole, least=0, example=2)
    flip: bool = _by(checks.flag)
    crop: int = _by(checks.whole, least=0, example=4)
    options: Options

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.binarize and self.standardize == "none":
            raise UserError(
                "dataset.binarize turns pixels into 0 and 1, so dataset.standardize=none (raw 0..255) has no meaning",
                got="dataset.binarize=true dataset.standardize=none",
                todo="dataset.standardize=unit",
            )


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Section):
    """An optimiser of ``torch.optim``; ``decay_norm`` says whether weight decay also acts on the norms' gamma and beta."""

    group = "optimizer"
    name: str
    lr: float = _by(checks.real, above=0, example=0.1)
    weight_decay: float = _by(checks.real, least=0, example=1e-4)
    decay_norm: bool = _by(checks.flag)


@dataclass(frozen=True, kw_only=True)
class SGDConfig(OptimizerConfig):
    """Stochastic gradient descent with optional (Nesterov) momentum."""

    momentum: float = _by(checks.real, least=0, below=1, example=0.9)
    nesterov: bool = _by(checks.flag)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and self.momentum == 0:
            raise UserError(
                "optimizer.nesterov needs momentum",
                got="optimizer.nesterov=true optimizer.momentum=0",
                todo="optimizer.momentum=0.9",
            )


@dataclass(frozen=True, kw_only=True)
class AdamConfig(OptimizerConfig):
    """Adam and AdamW (Kingma & Ba 2015; Loshchilov & Hutter 2019)."""

    beta1: float = _by(checks.real, least=0, below=1, example=0.9)
    beta2: float = _by(checks.real, least=0, below=1, example=0.999)
    eps: float = _by(checks.real, above=0, example=1e-8)


OPTIMIZERS: Mapping[str, type[OptimizerConfig]] = {"sgd": SGDConfig, "adam": AdamConfig, "adamw": AdamConfig}


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(Section):
    """How the learning rate moves: linear warm-up over ``warmup_steps``, then the shape ``name``.

    ``final_factor`` is the factor at the last step (exponential, cosine); ``drops`` are fractions of training at which ``step``
    multiplies by ``drop_factor``.
    """

    group = "schedule"
    name: str
    warmup_steps: int = _by(checks.whole, least=0, example=100)
    final_factor: float = _by(checks.real, 1.0, least=0, most=1, example=0.01)
    drops: tuple[float, ...] = _each(checks.real, "[0.5,0.75]", (), above=0, below=1, example=0.5, listed=True)
    drop_factor: float = _by(checks.real, 1.0, above=0, most=1, example=0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name not in SCHEDULES:
            raise unknown_name("schedule", self.name, SCHEDULES)
        if self.name == "exponential":
            checks.real("schedule.final_factor", self.final_factor, above=0, most=1, example=0.01)


class _All(int):
    """Of its own type, so that a 0 that was typed is still refused."""


#: ``train.batch_size=all`` until ``runs/settle.py`` knows how many training examples there are.
ALL = _All(0)


def _batch_size(key: str, value: Any) -> int:
    if isinstance(value, _All) or value == "all":
        return ALL
    if isinstance(value, str) and value.isalpha():
        raise UserError(f"{key} must be a whole number of at least 1, or all", got=repr(value), todo=f"{key}=all")
    try:
        return checks.whole(key, value, least=1, example=60)
    except UserError as error:
        raise UserError(f"{error.what}, or all", got=error.got, todo=error.todo) from error


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Section):
    """Length of a run in optimiser steps, when it is looked at, and what is kept of it.

    ``epochs`` are passes over the training data; ``runs/settle.py`` makes ``steps`` of them before a run has its name, and of
    ``batch_size=all`` all training examples in one order (``data/batches.py``). Evaluations are ``eval_every`` steps apart, early
    at most the share ``eval_gap`` of the steps done, or begin after ``eval_from`` steps (``schedule.evaluation_steps``), which
    leaves no steps to a target. ``targets`` are validation accuracies in (0, 1) whose steps-to-target are reported. A run ends
    early once ``stop_at_accuracy`` (validation, in (0, 1)) and ``stop_at_loss`` (training, nats), as far as given, are reached
    (``engine/loop.py``); ``stop_at_target`` is the highest target as ``stop_at_accuracy``. A batch goes in ``accumulate`` micro-
    batches (``engine/step.py``), each with statistics of its own or of the ``whole`` batch. ``keep`` says which weights stay in
    the run folder: none, those of the last step, or of the evaluation with the best validation accuracy. ``only`` says which
    parameters train (``engine/restrict.py``), ``order`` which examples share a batch. Without ``test`` no test set is read.
    """

    group = "train"
    steps: int = _by(checks.whole, least=1, example=3000)
    batch_size: int = _by(_batch_size)
    eval_every: int = _by(checks.whole, least=1, example=100)
    log_every: int = _by(checks.whole, least=1, example=50)
    targets: tuple[float, ...] = _each(checks.real, "[0.9,0.95]", above=0, below=1, example=0.95, listed=True)
    stop_at_accuracy: float | None = _by(checks.real, above=0, below=1, example=0.95)
    stop_at_loss: float | None = _by(checks.real, above=0, example=0.01)
    accumulate: int = _by(checks.whole, 1, least=1, example=4)
    accumulate_statistics: str = _by(checks.choice, "micro", options=("micro", "whole"))
    epochs: float | None = _by(checks.real, None, above=0, example=2)
    stop_at_target: bool = _by(checks.flag, False)
    keep: str = _by(checks.choice, "none", options=KEEP)
    only: str = _by(checks.choice, "all", options=ONLY)
    order: str = _by(checks.choice, "shuffled", options=ORDERS)
    eval_from: int = _by(checks.whole, 0, least=0, example=250)
    test: bool = _by(checks.flag, True)
    eval_gap: float = _by(checks.real, 0.05, above=0, most=1, example=0.1)

    @property
    def pass_size(self) -> int:
        """Examples of a batch that pass through the network, and its norms, together: all, or those of a micro-batch."""
        return self.batch_size // self.accumulate if self.accumulate_statistics == "micro" else self.batch_size

    @property
    def leaves_open(self) -> bool:
        """Whether ``runs/settle.py`` has anything to settle."""
        return self.epochs is not None or self.stop_at_target or self.batch_size == ALL

    @property
    def may_stop(self) -> bool:
        """Whether a run can end before its last step without having diverged."""
        return self.stop_at_accuracy is not None or self.stop_at_loss is not None or self.stop_at_target

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.targets)) != len(self.targets):
            raise UserError(
                "train.targets must differ from each other", got=list(self.targets), todo="train.targets=[0.9,0.95]"
            )
        if self.eval_from and self.targets:
            raise UserError(
                "steps to a target are not known without evaluations from the start",
                got=f"train.eval_from={self.eval_from} train.targets={list(self.targets)}",
                todo="train.targets=[]",
            )
        checks.divides("train.accumulate", self.accumulate, "train.batch_size", self.batch_size)
        if self.stop_at_target and (self.stop_at_accuracy is not None or not self.targets):
            both = self.stop_at_accuracy is not None
            raise UserError(
                "train.stop_at_target stops at the highest of train.targets, "
                + ("so that train.stop_at_accuracy has no part in it" if both else "and there are none"),
                got=f"train.stop_at_accuracy={self.stop_at_accuracy}" if both else "train.targets=[]",
                todo="train.stop_at_accuracy=null" if both else "train.targets=[0.9]",
            )


def _auto_or_whole(key: str, value: Any) -> str | int:
    if value == "auto":
        return "auto"
    try:
        return checks.whole(key, value, least=1)
    except UserError as error:
        raise UserError(
            f"{key} must be auto or a whole number of at least 1", got=error.got, todo=f"{key}=auto"
        ) from error


def _processes(key: str, value: Any) -> bool | int:
    try:
        return checks.flag(key, value)
    except UserError:
        try:
            return checks.whole(key, value, least=2)
        except UserError as error:
            what = f"{key} must be true, false or a number of processes of at least 2"
            raise UserError(what, got=error.got, todo=f"{key}=true") from error


@dataclass(frozen=True, kw_only=True)
class ExecutionConfig(Section):
    """How a run is carried out; it decides how fast, and the last digits of rounding, not what is computed, bf16 and ddp apart.

    ``compile``: the training step as one compiled graph; ``auto`` only where a run is long enough to pay for compiling.
    ``precision``: fp32, or the forward pass in bfloat16, which is another run (``identity.computed``); ``auto`` is one of the two.
    ``stack``: runs of an arm that train side by side as one program; ``auto`` is many on a GPU and one on a CPU.
    ``jobs``: processes of a sweep; None is one a core.
    ``ddp``: processes of ``torchrun`` that share every batch of one run, which is another run, as most norms then see the parts;
    true: as many as there are (``runs/settle.py``).
    """

    group = "execution"
    compile: str = _by(checks.choice, options=("auto", "on", "off"))
    precision: str = _by(checks.choice, options=("fp32", "bf16", "auto"))
    stack: str | int = _by(_auto_or_whole)
    jobs: int | None = _by(checks.whole, least=1, example=2)
    ddp: bool | int = _by(_processes, False)


def _device(key: str, value: Any) -> str:
    if value == "gpu":
        raise UserError("device must be one of auto, cpu, cuda", got="'gpu'", todo="device=cuda")
    checks.choice(
        key, re.sub(r"^cuda:\d+$", "cuda", value) if isinstance(value, str) else value, ("auto", "cpu", "cuda")
    )
    return str(value)


def _plugin(key: str, value: Any) -> str:
    """A module's name; a file of it, as people write, is told the name."""
    name = checks.text(key, value, example="[my_norm]")
    if not all(part.isidentifier() for part in name.split(".")) or name.endswith(".py"):
        module = name.removeprefix("./").removesuffix(".py").strip("/").replace("/", ".")
        known = all(part.isidentifier() for part in module.split("."))
        todo = f"plugins=[{module if known else 'my_norm'}]   from the folder that holds it"
        if name.startswith("/") and known:
            folder, _, module = name.removesuffix(".py").rpartition("/")
            todo = f"PYTHONPATH={folder} bnexp train plugins=[{module}]"
        raise UserError("plugins are names of Python modules, not of files", got=f"plugins=[{name}]", todo=todo)
    return name


def _plugins(key: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) and value.endswith(".py"):
        _plugin(key, value)
    return tuple(_plugin(key, entry) for entry in checks.several(key, value, example="[my_norm]"))


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig(Section):
    """One run, completely. Two equal values of this class (less the fields in ``COSMETIC``) compute the same thing."""

    seed: int = _by(checks.whole, least=0, example=0)
    device: str = _by(_device)
    threads: int | None = _by(checks.whole, least=1, most=MOST_THREADS, example=1)
    execution: ExecutionConfig
    train: TrainConfig
    model: ModelConfig
    norm: NormConfig
    dataset: DatasetConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    probes: Mapping[str, Options]
    plugins: tuple[str, ...] = _by(_plugins)
    runs_dir: str = _by(checks.path, example="runs")
    data_dir: str | None = _by(checks.path, example="data")
    force: bool = _by(checks.flag)
    retry: str = _by(checks.choice, options=RETRY)
    max_failures: int | None = _by(checks.whole, least=1, example=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, options in self.probes.items():
            if not isinstance(options, Mapping):
                raise UserError(
                    f"probes.{name} must be a group of options",
                    got=repr(options),
                    todo=f"~probes.{name} to leave it out",
                )
        if self.schedule.warmup_steps >= self.train.steps and self.train.epochs is None:
            raise UserError(
                "schedule.warmup_steps must be smaller than train.steps",
                got=f"schedule.warmup_steps={self.schedule.warmup_steps} train.steps={self.train.steps}",
                todo=f"schedule.warmup_steps={self.train.steps // 10}",
            )
        if self.norm.freeze_after is not None and self.norm.freeze_after >= self.train.steps:
            raise UserError(
                "norm.freeze_after must be smaller than train.steps, or no step is made with frozen statistics",
                got=f"norm.freeze_after={self.norm.freeze_after} train.steps={self.train.steps}",
                todo=f"norm.freeze_after={max(self.train.steps // 2, 1)}",
            )
