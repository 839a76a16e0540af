"""What a run is made of: frozen dataclasses that refuse a wrong value the moment they are built.

The values themselves live in ``configs/`` (one home per number); these classes say which are allowed. Nothing here imports torch,
so a mistake is answered at once and before a folder is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bnexp.config.checks import choice, flag, real, several, text, whole
from bnexp.errors import UserError

Options = Mapping[str, Any]

INITS = ("gaussian", "he", "glorot", "lecun", "orthogonal")
STANDARDIZE = ("none", "unit", "center", "global", "per_pixel")
PLACEMENTS = ("before", "after")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A model by name, its weight initialisation and its own options (depth, width, ...)."""

    name: str
    init: str
    init_scale: float
    options: Options

    def __post_init__(self) -> None:
        choice("model.init", self.init, INITS)
        real("model.init_scale", self.init_scale, above=0, example=1.0)


@dataclass(frozen=True, kw_only=True)
class NormConfig:
    """A normaliser by name, where it stands relative to the nonlinearity, and its own options."""

    name: str
    placement: str
    options: Options

    def __post_init__(self) -> None:
        choice("norm.placement", self.placement, PLACEMENTS)


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """A data source by name, what is taken from it and how a batch is prepared.

    ``train_examples`` null means all that the validation split leaves; ``pad`` adds zero pixels on each side; ``crop`` is the
    largest shift of a random crop in pixels.
    """

    name: str
    validation_examples: int
    train_examples: int | None
    binarize: bool
    standardize: str
    pad: int
    flip: bool
    crop: int
    options: Options

    def __post_init__(self) -> None:
        whole("dataset.validation_examples", self.validation_examples, least=1, example=1000)
        if self.train_examples is not None:
            whole("dataset.train_examples", self.train_examples, least=1, example=1000)
        flag("dataset.binarize", self.binarize)
        choice("dataset.standardize", self.standardize, STANDARDIZE)
        whole("dataset.pad", self.pad, least=0, example=2)
        flag("dataset.flip", self.flip)
        whole("dataset.crop", self.crop, least=0, example=4)
        if self.binarize and self.standardize == "none":
            raise UserError(
                "dataset.binarize turns pixels into 0 and 1, so dataset.standardize=none (raw 0..255) has no meaning",
                got="dataset.binarize=true dataset.standardize=none",
                todo="dataset.standardize=unit",
            )


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """An optimiser of ``torch.optim``; ``decay_norm`` says whether weight decay also acts on the norms' gamma and beta."""

    name: str
    lr: float
    weight_decay: float
    decay_norm: bool

    def __post_init__(self) -> None:
        real("optimizer.lr", self.lr, above=0, example=0.1)
        real("optimizer.weight_decay", self.weight_decay, least=0, example=1e-4)
        flag("optimizer.decay_norm", self.decay_norm)


@dataclass(frozen=True, kw_only=True)
class SGDConfig(OptimizerConfig):
    """Stochastic gradient descent with optional (Nesterov) momentum."""

    momentum: float
    nesterov: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        real("optimizer.momentum", self.momentum, least=0, below=1, example=0.9)
        flag("optimizer.nesterov", self.nesterov)
        if self.nesterov and self.momentum == 0:
            raise UserError(
                "optimizer.nesterov needs momentum",
                got="optimizer.nesterov=true optimizer.momentum=0",
                todo="optimizer.momentum=0.9",
            )


@dataclass(frozen=True, kw_only=True)
class AdamConfig(OptimizerConfig):
    """Adam and AdamW (Kingma & Ba 2015; Loshchilov & Hutter 2019)."""

    beta1: float
    beta2: float
    eps: float

    def __post_init__(self) -> None:
        super().__post_init__()
        real("optimizer.beta1", self.beta1, least=0, below=1, example=0.9)
        real("optimizer.beta2", self.beta2, least=0, below=1, example=0.999)
        real("optimizer.eps", self.eps, above=0, example=1e-8)


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How the learning rate moves: linear warm-up over ``warmup_steps``, then the shape ``name``.

    ``final_factor`` is the factor at the last step (exponential, cosine); ``drops`` are fractions of training at which ``step``
    multiplies by ``drop_factor``.
    """

    name: str
    warmup_steps: int
    final_factor: float = 1.0
    drops: tuple[float, ...] = ()
    drop_factor: float = 1.0

    def __post_init__(self) -> None:
        whole("schedule.warmup_steps", self.warmup_steps, least=0, example=100)
        if self.name == "exponential":
            real("schedule.final_factor", self.final_factor, above=0, most=1, example=0.01)
        real("schedule.final_factor", self.final_factor, least=0, most=1, example=0.01)
        for drop in several("schedule.drops", self.drops, example="[0.5,0.75]"):
            real("schedule.drops", drop, above=0, below=1, example=0.5, listed=True)
        real("schedule.drop_factor", self.drop_factor, above=0, most=1, example=0.1)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Length of a run in optimiser steps, and when it is looked at.

    ``eval_every`` and ``log_every`` are in steps; evaluation is denser (log-spaced) early. ``targets`` are validation accuracies
    in (0, 1) whose steps-to-target are reported.
    """

    steps: int
    batch_size: int
    eval_every: int
    log_every: int
    targets: tuple[float, ...]

    def __post_init__(self) -> None:
        whole("train.steps", self.steps, least=1, example=3000)
        whole("train.batch_size", self.batch_size, least=1, example=60)
        whole("train.eval_every", self.eval_every, least=1, example=100)
        whole("train.log_every", self.log_every, least=1, example=50)
        for target in several("train.targets", self.targets, example="[0.9,0.95]"):
            real("train.targets", target, above=0, below=1, example=0.95, listed=True)
        if len(set(self.targets)) != len(self.targets):
            raise UserError(
                "train.targets must differ from each other", got=list(self.targets), todo="train.targets=[0.9,0.95]"
            )


@dataclass(frozen=True, kw_only=True)
class ExecutionConfig:
    """How a run is carried out; it decides how fast, and the last digits of rounding, not what is computed, bf16 apart.

    ``compile``: the training step as one compiled graph; ``auto`` only where a run is long enough to pay for compiling.
    ``precision``: fp32, or the forward pass in bfloat16, which is another run (``identity.computed``); ``auto`` is one of the two.
    ``stack``: runs of an arm that train side by side as one program; ``auto`` is many on a GPU and one on a CPU.
    ``jobs``: processes of a sweep; None is one a core.
    """

    compile: str
    precision: str
    stack: str | int
    jobs: int | None

    def __post_init__(self) -> None:
        if self.stack != "auto" and (not isinstance(self.stack, int) or isinstance(self.stack, bool) or self.stack < 1):
            raise UserError(
                "execution.stack must be auto or a whole number of at least 1",
                got=repr(self.stack),
                todo="execution.stack=auto",
            )
        if self.jobs is not None:
            whole("execution.jobs", self.jobs, least=1, example=2)
        choice("execution.compile", self.compile, ("auto", "on", "off"))
        choice("execution.precision", self.precision, ("fp32", "bf16", "auto"))


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """One run, completely. Two equal values of this class (less the fields in ``COSMETIC``) compute the same thing."""

    seed: int
    device: str
    threads: int | None
    execution: ExecutionConfig
    train: TrainConfig
    model: ModelConfig
    norm: NormConfig
    dataset: DatasetConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    probes: Mapping[str, Options]
    plugins: tuple[str, ...]
    runs_dir: str
    data_dir: str | None
    force: bool

    def __post_init__(self) -> None:
        whole("seed", self.seed, least=0, example=0)
        choice(
            "device",
            self.device.split(":")[0] if isinstance(self.device, str) else self.device,
            ("auto", "cpu", "cuda"),
        )
        if self.threads is not None:
            whole("threads", self.threads, least=1, example=1)
        flag("force", self.force)
        for plugin in several("plugins", self.plugins, example="[my_norm]"):
            text("plugins", plugin, example="[my_norm]")
        text("runs_dir", self.runs_dir, example="runs")
        if self.data_dir is not None:
            text("data_dir", self.data_dir, example="data")
        for name, options in self.probes.items():
            if not isinstance(options, Mapping):
                raise UserError(
                    f"probes.{name} must be a group of options",
                    got=repr(options),
                    todo=f"~probes.{name} to leave it out",
                )
        if self.schedule.warmup_steps >= self.train.steps:
            raise UserError(
                "schedule.warmup_steps must be smaller than train.steps",
                got=f"schedule.warmup_steps={self.schedule.warmup_steps} train.steps={self.train.steps}",
                todo=f"schedule.warmup_steps={self.train.steps // 10}",
            )


#: Fields that say where or how a run is carried out, not what it computes; they do not enter its identity, bf16 apart.
COSMETIC = ("device", "threads", "execution", "runs_dir", "data_dir", "force")

OPTIMIZERS: Mapping[str, type[OptimizerConfig]] = {"sgd": SGDConfig, "adam": AdamConfig, "adamw": AdamConfig}
SCHEDULES = ("constant", "step", "exponential", "cosine")
