"""A run's kept net, put together again and scored: on its test set or another, with one kind of statistics or another.

Legend: N examples, B batch.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from bnexp.config.schema import ExperimentConfig
from bnexp.engine.build import Experiment, Set, build, load_data
from bnexp.engine.evaluate import Score, evaluate, evaluate_recomputed
from bnexp.engine.fold import Folded, InferenceTime, fold, largest_difference, time_inference
from bnexp.engine.weights import Unfit, load_weights
from bnexp.errors import UserError
from bnexp.models.blocks import NormAct
from bnexp.norms.population import has_running_statistics
from bnexp.probes.base import guest
from bnexp.records import paths
from bnexp.records.reader import RunRecord
from bnexp.rng import torch_stream

STATISTICS = ("running", "recomputed", "batch")
SPLITS = ("test", "validation", "train")


@dataclass(frozen=True)
class Kept:
    """A run with the weights that it kept.

    Attributes:
        experiment: the run, its net in the state of these weights.
        step: after which they were taken.
    """

    experiment: Experiment
    step: int

    @property
    def statistics(self) -> tuple[str, ...]:
        """The kinds that may differ for this net; a net without running statistics has one way to be evaluated."""
        return STATISTICS if has_running_statistics(self.experiment.model) else STATISTICS[:1]


def load_kept(record: RunRecord, config: ExperimentConfig) -> Kept:
    """The net of a record with its kept weights.

    Args:
        record: of the run.
        config: its config, with the device and the data folder of today.

    Raises:
        UserError: no weights were kept, they cannot be read, or the run's data are other data today.
    """
    named = record.folder.name if record.folder.parent.name == "runs" else shlex.quote(str(record.folder))
    again = f"bnexp rerun {named} train.keep=last"
    if not (record.folder / paths.WEIGHTS).is_file():
        keep = record.end.get("weights")
        what = "this run kept no weights" + ("" if keep is None else f", for it is {record.status}")
        raise UserError(what, got=record.folder, todo=again)
    experiment = build(replace(config, probes={}, execution=replace(config.execution, compile="off")))
    try:
        step = load_weights(experiment.model, record.folder)
    except Unfit as error:
        raise UserError(f"{paths.WEIGHTS} cannot be used: {error}", got=record.folder, todo=again) from error
    recorded = _checksum(record.header.get("data"))
    if recorded and recorded != experiment.data_checksum:
        raise UserError(
            f"the data of dataset={config.dataset.name} are others than those the run was trained on",
            got=f"checksum {experiment.data_checksum} instead of {recorded}",
            todo="the files as they were, or data_dir=FOLDER",
        )
    return Kept(experiment, step)


def find_split(kept: Kept, name: str, other: ExperimentConfig | None = None) -> Set:
    """The examples of a split: the run's own, or of another data set whose pictures the net can take.

    Args:
        kept: the run.
        name: one of ``SPLITS``.
        other: a config with another data set. Its pictures are prepared as the run's were (padding, binarising, standardising by
            the run's own training set).

    Raises:
        UserError: pictures of another shape, or labels that the net has no output for.
    """
    experiment = kept.experiment
    if other is None:
        found: Set = getattr(experiment, name)
        return found
    data = load_data(replace(other, dataset=replace(other.dataset, pad=experiment.config.dataset.pad)))
    here, there = list(experiment.test.images.shape[1:]), list(data.test.images.shape[1:])
    outputs = _num_outputs(experiment)
    if here != there or data.num_classes > outputs:
        shapes = [f"pictures of {one[1]}x{one[2]} pixels in {one[0]} channel{'s' * (one[0] > 1)}" for one in (here, there)]
        raise UserError(
            f"the net takes {shapes[0]} and knows {outputs} classes; "
            f"dataset={other.dataset.name} has {shapes[1]} and {data.num_classes} classes",
            got=f"dataset={other.dataset.name}",
            todo=f"a data set like {experiment.config.dataset.name}: bnexp list datasets",
        )
    splits: dict[str, Set] = {"test": data.test, "validation": data.validation, "train": data.train}
    return splits[name]


def score(kept: Kept, split: Set, statistics: str) -> Score:
    """Accuracy and loss on a split.

    Args:
        kept: the run; its net is left as it was.
        split: which examples.
        statistics: ``running`` (eval mode), ``recomputed`` (eval mode with population statistics recomputed on these weights,
            Ioffe & Szegedy 2015, Algorithm 2), or ``batch`` (each norm normalises by the batch it sees, as in training).

    Raises:
        UserError: other statistics than running for a net that has none.
    """
    if statistics not in kept.statistics:
        norm = kept.experiment.config.norm.name
        raise UserError(
            f"a net with norm={norm} has no running statistics, so that there is one way to evaluate it",
            got=f"statistics={statistics}",
            todo="statistics=running",
        )
    if statistics == "running":
        with guest(kept.experiment.model, [kept.experiment.noise]):
            return evaluate(kept.experiment.model, split, kept.experiment)
    if statistics == "recomputed":
        found = evaluate_recomputed(kept.experiment, split)
        assert found is not None
        return found
    return _by_batches(kept.experiment, split)


@dataclass(frozen=True)
class FoldedNet:
    """A kept net with its norms folded into the layers before them, beside the net as it was.

    Attributes:
        norms: what became of each.
        before, after: scores of both.
        difference: the largest of their outputs, over the split.
        time: of a pass of ``batch`` examples.
        batch: examples a pass.
    """

    norms: list[Folded]
    before: Score
    after: Score
    difference: float
    time: InferenceTime
    batch: int


#: Examples by which layers are found and folds are tried, and examples of a timed pass.
TRIED, TIMED = 8, 1000


def folded(kept: Kept, split: Set) -> FoldedNet:
    """Fold, and compare on a split: see :func:`~bnexp.engine.fold.fold`.

    Raises:
        UserError: the net has no norm, or computes in bf16.
    """
    experiment, model = kept.experiment, kept.experiment.model
    x = experiment.prepare(split.images[:TIMED])
    net, norms = fold(model, x[:TRIED])
    batches = (experiment.prepare(images) for images in split.images.split(TIMED))
    before, after = (evaluate(one, split, experiment) for one in (model, net))
    return FoldedNet(norms, before, after, largest_difference(model, net, batches), time_inference(model, net, x), len(x))


def _by_batches(experiment: Experiment, split: Set) -> Score:
    """The score with the statistics of the batch, in whole batches of the training's size and in a fixed random order.

    Where the last batch is not full, examples that were counted already fill it. Norms alone are in training mode.
    """
    size = min(experiment.config.train.batch_size, len(split))
    order_N = torch.randperm(len(split), generator=torch_stream(0, "evaluate by batches")).to(split.labels.device)
    correct, loss = 0, 0.0
    with guest(experiment.model, [experiment.noise]), torch.no_grad():
        experiment.model.eval()
        for module in experiment.model.modules():
            if isinstance(module, NormAct):
                module.norm.train()
        for start in range(0, len(split), size):
            first = min(start, len(split) - size)
            indices_B = order_N[first : first + size]
            images, labels_B = split.images.index_select(0, indices_B), split.labels.index_select(0, indices_B)
            logits: Tensor = experiment.model(experiment.prepare(images))[start - first :]
            labels_B = labels_B[start - first :]
            correct += int((logits.argmax(1) == labels_B).sum())
            loss += float(F.cross_entropy(logits, labels_B, reduction="sum"))
    return Score(correct / len(split), loss / len(split), len(split))


def _num_outputs(experiment: Experiment) -> int:
    with guest(experiment.model, [experiment.noise]), torch.no_grad():
        experiment.model.eval()
        return int(experiment.model(experiment.prepare(experiment.test.images[:2])).shape[1])


def _checksum(data: Any) -> str:
    return str(data.get("checksum") or "") if isinstance(data, Mapping) else ""
