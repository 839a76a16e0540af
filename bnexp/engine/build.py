"""From a config to everything a run needs, checked completely before a folder is made."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bnexp.config.plugins import import_plugins
from bnexp.config.schema import ALL, AdamConfig, ExperimentConfig, OptimizerConfig, SGDConfig
from bnexp.data.augment import augment
from bnexp.data.batches import Batches
from bnexp.data.cache import resolve_data_dir
from bnexp.data.dataset import Part, load_splits
from bnexp.data.source import SOURCES, SourceSpec
from bnexp.data.standardize import Standardizer
from bnexp.engine.device import keep_memory, memory_format, pick_device, set_precision, use_threads
from bnexp.engine.restrict import restrict
from bnexp.errors import UserError
from bnexp.models.blocks import NormAct
from bnexp.models.factory import build_model
from bnexp.norms.factory import NORMS, norm_factory
from bnexp.norms.one_shot import FoldedOneShot, fold_first_batch, foldable
from bnexp.probes.base import Probe, View, build_probes
from bnexp.rng import torch_stream
from bnexp.schedule import lr_factor

#: No probe asks for more held-out examples than this or one training batch; they are kept as float32.
MAX_PROBE_EXAMPLES = 2048


@dataclass(frozen=True)
class Set:
    """One split on the device: u8 images ``[N, C, H, W]`` and int64 labels ``[N]``."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A run, ready to start.

    Attributes:
        config: what was asked for, with fp32 or bf16 where that was ``execution.precision=auto``.
        train, validation, test: the splits, on the device.
        batches: the order of training examples (stream ``order``).
        prepare: u8 images to the model's float32 input, no augmentation.
        model, optimizer: as at step 0.
        probes: by name.
        noise, augmentation: the run's own generators that training moves.
        data_checksum: of the arrays all splits came from.
        data_facts: what the record says of a user's own data.
        threads: CPU threads in use.
    """

    config: ExperimentConfig
    train: Set
    validation: Set
    test: Set
    batches: Batches
    prepare: Standardizer
    model: nn.Module
    optimizer: torch.optim.Optimizer
    probes: dict[str, Probe]
    noise: torch.Generator
    augmentation: torch.Generator
    data_checksum: str
    data_facts: Mapping[str, Any]
    threads: int

    def training_examples(self, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The examples ``indices`` ``[B]`` augmented: bytes ``[B, C, H, W]`` and their labels."""
        indices = indices.to(self.train.labels.device)
        images = self.train.images.index_select(0, indices)  # ten times as fast as images[indices] on bytes
        return augment(images, self.config.dataset, generator), self.train.labels.index_select(0, indices)

    def training_batch(self, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The same as the network sees them: ``[B, C, H, W]`` float32, and their labels."""
        images, labels = self.training_examples(indices, generator)
        return self.prepare(images), labels


@dataclass(frozen=True, kw_only=True)
class Data:
    """A data set on the device, for one run or for many: its splits, what turns bytes into inputs, and where it came from."""

    train: Set
    validation: Set
    test: Set
    num_classes: int
    prepare: Standardizer
    checksum: str
    facts: Mapping[str, Any]


def load_data(config: ExperimentConfig) -> Data:
    """The data set that a config asks for. The last one stays: runs of one data set come one after the other.

    A user's own files are read again, for they may change between two runs.
    """
    device, data_dir = pick_device(config.device), resolve_data_dir(config.data_dir)
    source = SOURCES[config.dataset.name]
    asked = (source, repr(config.dataset), data_dir, device)
    if asked in _last:
        return _last[asked]
    _last.clear()
    data = _load_data(config, data_dir, device)
    if source.fingerprint is None:
        _last[asked] = data
    return data


_last: dict[tuple[SourceSpec, str, Path, torch.device], Data] = {}


def _load_data(config: ExperimentConfig, data_dir: Path, device: torch.device) -> Data:
    splits = load_splits(config.dataset, data_dir)
    train, validation, test = (_on(device, part) for part in (splits.train, splits.validation, splits.test))
    prepare = Standardizer(splits.train.images, config.dataset)
    return Data(
        train=train, validation=validation, test=test, num_classes=splits.num_classes, prepare=prepare, checksum=splits.checksum,
        facts=splits.facts,
    )  # fmt: skip


def build(config: ExperimentConfig, data: Data | None = None) -> Experiment:
    """Load the data, unless it is here already, and build the model and everything around it.

    Raises:
        UserError: whatever cannot be known from the config alone: missing data, a model that does not fit the images, ...
    """
    import_plugins(config.plugins)
    device = pick_device(config.device)
    data = data or load_data(config)
    if config.train.batch_size == ALL:
        config = replace(config, train=replace(config.train, batch_size=len(data.train)))
    _check_evaluation(config, data)
    noise, augmentation = (torch_stream(config.seed, name, device.type) for name in ("noise", "augment"))
    batches = Batches(
        len(data.train), config.train.batch_size, torch_stream(config.seed, "order"), device,
        order=config.train.order, labels=data.train.labels,
    )  # fmt: skip
    model = _model(config, data, noise)
    layout = memory_format(model)
    model = model.to(memory_format=layout).to(device)
    restrict(model, config)
    prepare = data.prepare.to(device, layout)
    config = set_precision(config, model, device)
    threads = use_threads(config.threads, model)
    keep_memory()
    return Experiment(
        config=config, train=data.train, validation=data.validation, test=data.test, batches=batches, prepare=prepare, model=model,
        optimizer=build_optimizer(config.optimizer, model),
        probes=build_probes(config.probes, _view(config, model, data, prepare, batches)),
        noise=noise, augmentation=augmentation, data_checksum=data.checksum, data_facts=data.facts, threads=threads,
    )  # fmt: skip


def seen_together(config: ExperimentConfig) -> int:
    """Training examples whose statistics a norm takes together: those of a pass, or of several processes each its own part."""
    if NORMS[config.norm.name].whole_batch:
        return config.train.pass_size
    return config.train.pass_size // int(config.execution.ddp or 1)


@cache
def quick_to_import(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """An optimiser whose methods do not import torch's compiler when they are first called, which is 1 s of every start-up.

    torch wraps them so; this is the same class with the wrapped functions themselves. Where torch wraps in another way it is
    ``kind``, at the price of that second.
    """
    wrapped = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    try:
        methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in wrapped}
        plain = type(kind.__name__, (kind,), methods | {"step": torch.no_grad()(inspect.unwrap(kind.step))})
        weight = torch.ones(2, requires_grad=True)
        optimizer = plain([weight], lr=0.5, fused=True)
        weight.grad = torch.ones(2)
        optimizer.step()
        optimizer.zero_grad()
    except Exception:
        return kind
    return plain if weight.grad is None and bool((weight < 1).all()) else kind


def build_optimizer(config: OptimizerConfig, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of ``torch.optim`` over all trainable parameters of ``model``."""
    groups = _groups(model, config)
    kind: Any = quick_to_import(getattr(torch.optim, _OPTIMIZERS[config.name]))
    if isinstance(config, SGDConfig):
        return kind(groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=True)
    assert isinstance(config, AdamConfig)
    return kind(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)


_OPTIMIZERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}


def _groups(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """One group of weights with decay and, when the norms' parameters have none, a second one without."""
    in_norms = {id(p) for site in model.modules() if isinstance(site, NormAct) for p in site.norm.parameters()}
    trainable = [p for p in model.parameters() if p.requires_grad]
    if config.decay_norm or not in_norms:
        return [{"params": trainable, "weight_decay": config.weight_decay}]
    return [
        {"params": [p for p in trainable if id(p) not in in_norms], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if id(p) in in_norms], "weight_decay": 0.0},
    ]


def prepare_weights(experiment: Experiment) -> None:
    """What comes before step 0 and needs the first batch: folding ``norm=one_shot`` into the weights. Moves no generator."""
    if not any(isinstance(module, FoldedOneShot) for module in experiment.model.modules()):
        return
    order, augmentation = experiment.batches.state(), experiment.augmentation.get_state()
    x, _ = experiment.training_batch(experiment.batches.next(), experiment.augmentation)
    fold_first_batch(experiment.model, x[: seen_together(experiment.config)])
    experiment.batches.restore(order)
    experiment.augmentation.set_state(augmentation)


def order_hash(experiment: Experiment) -> str:
    """Hash of the first epoch's order: runs of two arms may be paired only if theirs are equal. Moves nothing."""
    state = experiment.batches.state()
    num_batches = len(experiment.train) // experiment.config.train.batch_size
    order = torch.cat([experiment.batches.next() for _ in range(num_batches)])
    experiment.batches.restore(state)
    return hashlib.blake2b(order.cpu().numpy().tobytes(), digest_size=8).hexdigest()


def _model(config: ExperimentConfig, data: Data, noise: torch.Generator) -> nn.Module:
    """The model, tried by one pass in eval mode, so that what does not fit is refused before a folder is made."""
    processes = int(config.execution.ddp or 1)
    if processes > 1 and NORMS[config.norm.name].uses_noise:
        raise UserError(
            f"norm={config.norm.name} draws its noise for a whole batch, which no process sees",
            got=f"norm={config.norm.name} execution.ddp={processes}", todo="execution.ddp=false",
        )  # fmt: skip
    part = config.train.pass_size // processes
    try:
        norm = norm_factory(config.norm, batch_size=part, generator=noise)
    except UserError as error:
        if part == config.train.batch_size:
            raise
        parts = f"train.batch_size={config.train.batch_size} train.accumulate={config.train.accumulate}"
        what = f"{error.what}; a norm sees micro-batches of {part}"
        todo = "train.accumulate_statistics=whole, or a smaller train.accumulate"
        if processes > 1:
            parts, what = f"{parts} execution.ddp={processes}", f"{error.what}; a process passes {part} examples together"
            todo = "a larger train.batch_size, or fewer processes"
        raise UserError(what, got=parts, todo=todo) from error
    channels, height, width = data.train.images.shape[1:]
    model = build_model(config.model, (channels, height, width), data.num_classes, norm, config.seed).eval()
    with torch.no_grad():
        zeros = torch.zeros(2, channels, height, width)
        logits = model(zeros)
        foldable(model, zeros)
    assert logits.ndim == 2, f"model={config.model.name} returned {tuple(logits.shape)} instead of [N, classes]"
    return model.train()


def _check_evaluation(config: ExperimentConfig, data: Data) -> None:
    """Refuse what a net without running statistics cannot evaluate: a single example, whose statistics say nothing of it."""
    if config.norm.track:
        return
    sizes, passed = (len(data.validation), len(data.test)), seen_together(config)
    if any(size % passed == 1 for size in sizes):
        fitting = [size for size in range(passed, 1, -1) if all(whole % size != 1 for whole in sizes)]
        parts = config.train.batch_size // passed
        raise UserError(
            "norm.track=false normalises by evaluation batches, and the last one would be a single example",
            got=f"{sizes[0]} validation and {sizes[1]} test examples, {passed} at a time",
            todo=f"train.batch_size={fitting[0] * parts}" if fitting else "norm.track=true",
        )
    if "shift" in config.probes:
        raise UserError(
            "probes=shift compares training statistics with recomputed ones, and norm.track=false has neither",
            got="norm.track=false probes.shift", todo="leave one of the two out",
        )  # fmt: skip


def _on(device: torch.device, part: Part) -> Set:
    return Set(torch.from_numpy(part.images).to(device), torch.from_numpy(part.labels).to(device))


def _view(config: ExperimentConfig, model: nn.Module, data: Data, prepare: Standardizer, batches: Batches) -> View:
    """Probes see the validation examples in a shuffled order of their own: a file may be sorted by class.

    Where these do not fill a training batch they are taken again, because a batch-normalised net is seen as it trains, by whole
    batches.
    """
    validation, device = data.validation, data.train.labels.device

    def training_batch(stream: str) -> tuple[Tensor, Tensor]:
        own = torch_stream(config.seed, stream)
        size, order = config.train.batch_size, config.train.order
        drawn = Batches(len(data.train), size, own, device, order=order, labels=data.train.labels)
        chosen = batches.epoch()[0] if size == len(data.train) else drawn.next()
        generator = torch_stream(config.seed, f"{stream}/augment", device.type)
        images = augment(data.train.images.index_select(0, chosen), config.dataset, generator)
        return prepare(images), data.train.labels.index_select(0, chosen)

    def rate(step: int) -> float:
        update = min(step, config.train.steps - 1)
        return config.optimizer.lr * lr_factor(config.schedule, update, config.train.steps)

    order = torch.randperm(len(validation), generator=torch_stream(config.seed, "probe")).to(validation.labels.device)
    wanted = max(min(len(order), MAX_PROBE_EXAMPLES), seen_together(config))
    usable = order.repeat(-(-wanted // len(order)))[:wanted]
    return View(
        model=model, inputs=prepare(validation.images[usable]), labels=validation.labels[usable],
        validation=validation, test=data.test, prepare=prepare, training_batch=training_batch,
        rate=rate, batch_size=seen_together(config), order=config.train.order, seed=config.seed, steps=config.train.steps,
    )  # fmt: skip
