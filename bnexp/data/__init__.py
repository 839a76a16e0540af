"""Data: bytes in memory, split once, batched and standardised on the fly. One import line for each source, no torch."""

from bnexp.data import cifar10_part, coloured_digits, image_folder, mnist_5k, npz, torchvision_sets
from bnexp.data.cache import default_data_dir, resolve_data_dir
from bnexp.data.dataset import Part, Splits, load_splits
from bnexp.data.source import SOURCES, Source, SourceSpec, data_fingerprint, register

__all__ = [
    "SOURCES",
    "Part",
    "Source",
    "SourceSpec",
    "Splits",
    "cifar10_part",
    "coloured_digits",
    "data_fingerprint",
    "default_data_dir",
    "image_folder",
    "load_splits",
    "mnist_5k",
    "npz",
    "register",
    "resolve_data_dir",
    "torchvision_sets",
]
