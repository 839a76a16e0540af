"""How a trained net reads pictures of another kind than those it was trained on, and what recomputed statistics change.

Legend: N examples, S sizes, P priors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from bnexp.config.checks import real, whole, wholes
from bnexp.data.shifts import add_noise, brighten, flatten, invert, recolour
from bnexp.errors import UserError
from bnexp.probes.base import Examples, Observation, Probe, View, guest, register
from bnexp.rng import numpy_stream

CLEAN, COLOUR = "clean", "colour"

#: Examples a forward pass; what is read does not depend on it.
BATCH = 1000

Shift = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@register("shift")
class ShiftProbe(Probe):
    """Accuracy on clean and on shifted test images, by training statistics and by statistics of the shifted images.

    It looks once, after the last step, at the frozen net in eval mode. The shifts are a random hue for each image (where images
    have three channels), more brightness, less contrast, the negative, and Gaussian noise. A net with running statistics is then
    read again with every norm's mean and biased (1/m) variance blended from n shifted validation examples, without labels:
    ``(N * training + n * shifted) / (N + n)`` for each prior N and size n, layer by layer, each layer behind layers that are
    blended already. Examples of one class alone, read by statistics of that class, are the control in which the class mix is
    wrong. Other nets have nothing to recompute.

    Source: Schneider et al. 2020 (n target examples, pseudo sample size N); the shifts but colour and inversion are severity 3 of
    Hendrycks & Dietterich 2019. Deviation: statistics come from validation images and accuracy from test images, so that no image
    is normalised by itself.
    """

    cost: ClassVar[str] = "heavy"

    def __init__(
        self, view: View, *, sizes: object, priors: object, class_size: int, test_examples: int, brightness: float,
        contrast: float, noise: float,
    ) -> None:  # fmt: skip
        self._sizes = wholes("probes.shift.sizes", sizes, least=1, example="[1,16,512]")
        self._priors = wholes("probes.shift.priors", priors, least=0, example="[0,16]")
        self._class_size = whole("probes.shift.class_size", class_size, least=1, example=64)
        self._test_examples = whole("probes.shift.test_examples", test_examples, least=1, example=2000)
        real("probes.shift.brightness", brightness, least=-1, most=1, example=0.3)
        real("probes.shift.contrast", contrast, least=0, example=0.2)
        real("probes.shift.noise", noise, least=0, example=0.18)
        self._view = view
        self._shifts = shifts(view.test.images.shape[1], brightness=brightness, contrast=contrast, noise=noise)
        _require_examples(max(self._sizes), len(view.validation.labels))
        self._found: dict[str, dict[str, Any]] = {}

    def steps(self) -> Sequence[int]:
        """The last one."""
        return [self._view.steps]

    def observe(self, step: int) -> list[Observation]:
        """Read every kind of picture in every way."""
        self._view.model.eval()
        with torch.no_grad():
            self._found = {name: self._read(name) for name in self._shifts}
        return [_observation(step, name, found) for name, found in self._found.items()]

    def arrays(self) -> dict[str, np.ndarray]:
        """``<kind of picture>/<way of reading>``, and ``sizes`` and ``priors``.

        Shape: ``training`` and ``one_class`` a number, ``recomputed`` [P, S]; accuracies in [0, 1]. The last two are left out for
        a net without running statistics.
        """
        axes = {"sizes": np.array(self._sizes), "priors": np.array(self._priors)}
        return axes | {
            f"{name}/{way}": np.array(accuracy)
            for name, found in self._found.items()
            for way, accuracy in found.items()
            if accuracy is not None
        }

    def summary(self) -> dict[str, Any]:
        """The same numbers, None where there is nothing to recompute; empty when the run never got to its last step."""
        axes = {"sizes": list(self._sizes), "priors": list(self._priors)}
        return {**axes, "accuracy": self._found} if self._found else {}

    def state(self) -> dict[str, Any]:
        """What was read, once it was."""
        return {"found": self._found}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up :meth:`state`."""
        self._found = dict(state["found"])

    def _read(self, name: str) -> dict[str, Any]:
        """One kind of picture in all ways; the same pictures for every arm at this seed."""
        model, pool = self._view.model, self._view.validation
        order_N = self._order("target", len(pool.labels))
        chosen_N = self._order("test", len(self._view.test.labels))[: self._test_examples]
        x, labels = self._shifted(name, "test", self._view.test, chosen_N)
        found: dict[str, Any] = {
            "training": _correct(model, x, labels) / len(labels),
            "recomputed": None,
            "one_class": None,
        }
        if _tracking(model):
            target, _ = self._shifted(name, "target", pool, order_N[: max(self._sizes)])
            found["recomputed"] = [
                [self._correct_by(target[:size], prior, x, labels) / len(labels) for size in self._sizes]
                for prior in self._priors
            ]
            found["one_class"] = self._one_class(name, order_N, x, labels)
        return found

    def _one_class(self, name: str, order_N: Tensor, x: Tensor, labels: Tensor) -> float:
        """Accuracy where each class is read by statistics of up to ``class_size`` examples of itself and of nothing else."""
        pool = self._view.validation
        classes = np.intersect1d(pool.labels.cpu(), labels.cpu())
        correct = read = 0
        for number in classes.tolist():
            own_N = order_N[pool.labels[order_N] == number][: self._class_size]
            target, _ = self._shifted(name, f"target/{number}", pool, own_N)
            of_class_N = labels == number
            correct += self._correct_by(target, 0, x[of_class_N], labels[of_class_N])
            read += int(of_class_N.sum())
        return correct / read

    def _correct_by(self, target: Tensor, prior: int, x: Tensor, labels: Tensor) -> int:
        with guest(self._view.model, []), statistics_of(self._view.model, target, prior):
            return _correct(self._view.model, x, labels)

    def _shifted(self, name: str, part: str, examples: Examples, chosen_N: Tensor) -> tuple[Tensor, Tensor]:
        """Examples of a part as the model's input, shifted: ``[N, C, H, W]`` float32, and their classes."""
        generator = numpy_stream(self._view.seed, f"probe/shift/{name}/{part}")
        images = self._shifts[name](examples.images[chosen_N].cpu().numpy(), generator)
        moved = torch.from_numpy(np.ascontiguousarray(images)).to(examples.images.device)
        return self._view.prepare(moved), examples.labels[chosen_N]

    def _order(self, part: str, count: int) -> Tensor:
        generator = numpy_stream(self._view.seed, f"probe/shift/{part}")
        return torch.from_numpy(generator.permutation(count)).to(self._view.test.labels.device)


def shifts(num_channels: int, *, brightness: float, contrast: float, noise: float) -> dict[str, Shift]:
    """Kinds of pictures by name, the unchanged one first; a colour only where there are three channels to show it."""
    kinds: dict[str, Shift] = {
        CLEAN: lambda x, _: x,
        COLOUR: recolour,
        "brightness": lambda x, _: brighten(x, brightness),
        "contrast": lambda x, _: flatten(x, contrast),
        "inversion": lambda x, _: invert(x),
        "noise": lambda x, generator: add_noise(x, noise, generator),
    }
    return {name: kind for name, kind in kinds.items() if name != COLOUR or num_channels == 3}


@contextmanager
def statistics_of(model: nn.Module, target: Tensor, prior: int) -> Iterator[None]:
    """Inside, every norm's running statistics are blended from ``prior`` examples of themselves and all those of ``target``.

    One pass in eval mode: each norm takes up the statistics of what reaches it right before it normalises by them, so what the
    next one sees is what it will see. The variance is biased (1/m), as in the normalisation of a training batch; of a single
    value it is 0. They are not put back afterwards, which is the guest's business.

    Shape: target ``[N, C, H, W]``, or what ``model`` takes.
    """
    handles = [module.register_forward_pre_hook(partial(_blend, prior)) for module in _tracking(model)]
    try:
        model(target)
    finally:
        for handle in handles:
            handle.remove()
    yield


def _blend(prior: int, module: Any, inputs: tuple[Tensor, ...]) -> None:
    x = inputs[0]
    var_C, mean_C = torch.var_mean(x, (0, *range(2, x.ndim)), correction=0)
    share = len(x) / (prior + len(x))
    module.running_mean.lerp_(mean_C, share)
    if hasattr(module, "running_sd"):  # norm=renorm, with eps in it
        module.running_sd.copy_(module.running_sd.square().lerp(var_C + module.eps, share).sqrt())
    else:
        module.running_var.lerp_(var_C, share)


def _tracking(model: nn.Module) -> list[nn.Module]:
    """Norms whose eval mode is a matter of statistics kept from training."""
    return [module for module in model.modules() if isinstance(getattr(module, "running_mean", None), Tensor)]


def _correct(model: nn.Module, x: Tensor, labels: Tensor) -> int:
    parts = zip(x.split(BATCH), labels.split(BATCH), strict=True)
    return sum(int((model(some).argmax(1) == classes).sum()) for some, classes in parts)


def _observation(step: int, name: str, found: Mapping[str, Any]) -> Observation:
    """For TensorBoard: training statistics, and where there are any, those of the first prior and the last size."""
    told = {"training": found["training"]}
    if found["recomputed"] is not None:
        told["recomputed"] = found["recomputed"][0][-1]
    return Observation(step=step, name=f"shift/{name}", labels=tuple(told), values=tuple(told.values()))


def _require_examples(wanted: int, there: int) -> None:
    if wanted > there:
        raise UserError(
            f"probes=shift recomputes statistics on {wanted} validation examples, and there are {there}",
            got=f"probes.shift.sizes=[...,{wanted}]",
            todo=f"dataset.validation_examples={wanted}, or probes.shift.sizes=[{there}]",
        )
