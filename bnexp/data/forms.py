"""Labels and pixels in the forms that people save them in, as class numbers and bytes; what is not plain is said or refused.

Legend: N examples, C channels, H W space, K classes, D numbers of a flat picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bnexp.errors import UserError

_LAYOUTS = "[N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3, or flat squares [N, H * W]"
_CHUNK = 1000


@dataclass(frozen=True)
class Labels:
    """Class numbers ``[N]`` int64 of both parts, the classes' names in that order, and what was read as what."""

    train: np.ndarray
    test: np.ndarray
    classes: tuple[str | int, ...]
    notes: tuple[str, ...]


def read_labels(train: np.ndarray, test: np.ndarray) -> Labels:
    """Labels as whole numbers of any type, whole floats, truth values, names, one-hot rows or a column, as 0..K-1.

    The classes are those of the training part, in the order of numbers (or of the alphabet).

    Shape: ``[N]``, ``[N, 1]`` or one-hot ``[N, K]``.

    Raises:
        UserError: anything else, a single class, a class that only the test part has.
    """
    (y_train, form), (y_test, test_form) = _column("y_train", train), _column("y_test", test)
    if (y_train.dtype.kind == "U") != (y_test.dtype.kind == "U"):
        raise UserError(
            "y_train and y_test must name classes in the same way",
            got=f"y_train {_type(train)}, y_test {_type(test)}",
            todo="y_train, y_test = y_train.astype(str), y_test.astype(str)",
        )
    present = in_order(np.unique(y_train).tolist())
    _check_classes(y_train, y_test, present)
    number = {name: index for index, name in enumerate(present)}
    as_they_are = present == list(range(len(present)))
    notes = [f"labels ({form or test_form})"] if form or test_form else ["labels"] if not as_they_are else []
    if notes and as_they_are:
        notes = [f"{notes[0]} read as classes 0..{len(present) - 1}"]
    elif notes:
        names = ", ".join(map(str, present[:8])) + (", ..." if len(present) > 8 else "")
        notes = [f"{notes[0]} read as classes 0..{len(present) - 1} in the order {names}"]
    if absent := [str(name) for name in present if name not in set(y_test.tolist())]:
        notes.append(f"no test images of class {', '.join(absent[:8])}{', ...' if len(absent) > 8 else ''}")
    in_numbers = [np.array([number[name] for name in y.tolist()], np.int64) for y in (y_train, y_test)]
    return Labels(in_numbers[0], in_numbers[1], tuple(present), tuple(notes))


def in_order(names: Sequence[str | int]) -> list[str | int]:
    """Names in the order of the numbers they are (2 before 10), if they all are, else of the alphabet."""
    try:
        return sorted(names, key=lambda name: (int(name), str(name)))
    except ValueError:
        return sorted(names, key=str)


def _column(key: str, y: np.ndarray) -> tuple[np.ndarray, str]:
    """``[N]`` int64 or str, and what form it had if not that."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and y.dtype.kind in "biuf" and _one_hot(y):
        return y.argmax(1).astype(np.int64), "one-hot rows"
    if y.ndim != 1:
        raise UserError(
            f"{key} must hold one label for each image: [N], [N, 1] or one-hot rows [N, K]",
            got=f"{_type(y)}",
            todo=f"{key} = {key}.argmax(1)   (the largest entry of each row; right only where a row scores classes)",
        )
    if y.dtype.kind == "S":
        return np.char.decode(y, "utf-8", "backslashreplace"), "names"
    if y.dtype.kind == "U":
        return y, "names"
    if y.dtype.kind == "f":
        if not np.isfinite(y).all():
            x_key = key.replace("y", "x", 1)
            raise UserError(
                f"{key} holds NaN or infinity, which are no classes",
                got=f"{int((~np.isfinite(y)).sum())} of {len(y)} labels",
                todo=f"keep = np.isfinite({key}); {x_key}, {key} = {x_key}[keep], {key}[keep]   (leaves these examples out)",
            )
        if (y != np.rint(y)).any() or (np.abs(y) > 2**53).any():
            raise UserError(
                f"{key} must hold classes, and fractions are none",
                got=f"{_type(y)}, {_range(y)}",
                todo=f"{key} = np.rint({key}).astype(int)   (only if they are classes)",
            )
        return y.astype(np.int64), f"saved as {y.dtype}"
    if y.dtype.kind in "biu":
        return y.astype(np.int64), "true and false" if y.dtype.kind == "b" else ""
    raise UserError(
        f"{key} must hold whole numbers or names",
        got=_type(y),
        todo=f"{key} = {key}.astype(str)   (or .astype(int))",
    )


def _one_hot(y_NK: np.ndarray) -> bool:
    return bool(len(y_NK) and ((y_NK == 0) | (y_NK == 1)).all() and ((y_NK != 0).sum(1) == 1).all())


def _check_classes(y_train: np.ndarray, y_test: np.ndarray, present: list[str | int]) -> None:
    if not len(y_train) or not len(y_test):
        raise UserError(
            "there must be labels in both parts", got="no labels", todo="save y_train and y_test with all examples"
        )
    if len(present) == 1:
        raise UserError(
            "y_train has only one class, so there is nothing to learn",
            got=f"every label is {present[0]}",
            todo="save the labels of all classes",
        )
    if len(present) > max(10, len(y_train) // 2):
        raise UserError(
            f"y_train has {len(present)} different labels in {len(y_train)} examples: numbers of the examples, or amounts?",
            got=f"{present[0]}, {present[1]}, {present[2]}, ...",
            todo="save the class of each example as its label",
        )
    unknown = in_order(list(set(y_test.tolist()) - set(present)))
    if unknown:
        raise UserError(
            "y_test must hold classes of y_train",
            got=f"not among the {len(present)} of y_train: {', '.join(map(str, unknown[:5]))}",
            todo="keep = np.isin(y_test, y_train); x_test, y_test = x_test[keep], y_test[keep]",
        )


def read_pixels(x_train: np.ndarray, x_test: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Pictures in any usual layout and scale as bytes ``[N, C, H, W]``, and sentences about what was read as what.

    uint8 is taken as it is. Truth values and numbers 0..1 are multiplied by 255; -1..1 is moved there; 0..255 is rounded; whole
    numbers above that are divided so that the largest of 10, 12, 14 or 16 bits becomes 255.

    Raises:
        UserError: another layout or range, sizes or scales that differ between the parts.
    """
    notes = []
    planes = [_layout(key, x) for key, x in (("x_train", x_train), ("x_test", x_test))]
    if planes[0][1]:
        notes.append(f"x_train {list(x_train.shape)} read as {planes[0][1]}")
    if planes[0][0].shape[1:] != planes[1][0].shape[1:]:
        raise UserError(
            "x_train and x_test must hold images of one size and number of channels",
            got=f"x_train {list(x_train.shape)}, x_test {list(x_test.shape)}",
            todo="save both with the same [H, W, C]",
        )
    read, words = _scale(x_train, x_test)
    if words:
        notes.append(f"pixels {words}")
    train, test = (_in_bytes(x_NCHW, read) for x_NCHW, _ in planes)
    return train, test, tuple(notes)


def _layout(key: str, x: np.ndarray) -> tuple[np.ndarray, str]:
    """A view ``[N, C, H, W]``, and what the layout was taken for if it is not one the file's own words say."""
    if x.size == 0 or x.ndim < 2:
        raise UserError(
            f"{key} must be {_LAYOUTS}", got=list(x.shape), todo=f"{key} with all pictures, one after another"
        )
    if x.ndim == 3:
        return x[:, None], ""
    if x.ndim == 4 and x.shape[3] in (1, 3):
        ambiguous = x.shape[1] in (1, 3)
        return x.transpose(0, 3, 1, 2), "[N, H, W, C]" if ambiguous else ""
    if x.ndim == 4 and x.shape[1] in (1, 3):
        return x, "[N, C, H, W]"
    if x.ndim == 2 and math.isqrt(x.shape[1]) ** 2 == x.shape[1] and x.shape[1] > 1:
        side = math.isqrt(x.shape[1])
        return x.reshape(-1, 1, side, side), f"grey pictures of {side}x{side}"
    raise UserError(f"{key} must be {_LAYOUTS}", got=list(x.shape), todo=_layout_advice(x))


def _layout_advice(x: np.ndarray) -> str:
    both = "x_train, x_test = "
    if x.ndim == 2:
        side = math.isqrt(x.shape[1] // 3)
        if 3 * side * side == x.shape[1]:
            shape = f".reshape(-1, 3, {side}, {side})"
            return f"{both}x_train{shape}, x_test{shape}   (as CIFAR has it)"
        return f"{both}x_train[:, None], x_test[:, None]   (each row as a picture one pixel high)"
    if x.ndim == 4 and x.shape[3] == 4:
        white = "np.uint8(np.rint(x[..., :3] * (x[..., 3:] / 255) + 255 - x[..., 3:]))"
        return f"{both}({white} for x in (x_train, x_test))   (on white)"
    if x.ndim == 4 and x.shape[1] == 4:
        return f"{both}x_train.transpose(0, 2, 3, 1), x_test.transpose(0, 2, 3, 1)"
    if x.ndim == 4:
        return f"{both}x_train[..., 0], x_test[..., 0]   (the first of {x.shape[3]} planes)"
    return f"{both}x_train[:, 0], x_test[:, 0]   (the first of {x.shape[1]} along the second axis)"


def _scale(x_train: np.ndarray, x_test: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray] | None, str]:
    """How values become 0..255 (None: they are bytes), and what is said about it; both parts alike."""
    for key, x in (("x_train", x_train), ("x_test", x_test)):
        if x.dtype.kind not in "biuf":
            raise UserError(
                f"{key} must hold numbers", got=_type(x), todo=f"{key} = np.stack(list({key})).astype(np.uint8)"
            )
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            todo = "x_train, x_test = np.nan_to_num(x_train), np.nan_to_num(x_test)"
            raise UserError(
                f"{key} holds NaN or infinity", got=f"{int((~np.isfinite(x)).sum())} of {x.size} values", todo=todo
            )
    if x_train.dtype == x_test.dtype == np.uint8:
        top = max(x_train.max(), x_test.max())
        return None, f"are uint8 and go up to {top} of 255 only: taken as they are, nearly black" if top < 32 else ""
    ends = [float(end(x)) for x in (x_train, x_test) for end in (np.min, np.max)]
    low, high = min(ends), max(ends)
    unlike = (x_train.dtype.kind == "f") != (x_test.dtype.kind == "f") or (ends[1] <= 1) != (ends[3] <= 1)
    if unlike:
        raise UserError(
            "x_train and x_test must hold pixels of one kind and scale",
            got=f"x_train {x_train.dtype} {_range(x_train)}, x_test {x_test.dtype} {_range(x_test)}",
            todo="save both as uint8, 0..255",
        )
    kind, read = reading(low, high, whole=x_train.dtype.kind != "f")
    if read is None:
        raise UserError(
            f"x_train and x_test must hold pixels 0..255, 0..1 or -1..1, not {low:g}..{high:g}",
            got=f"x_train {_type(x_train)}",
            todo=_scale_advice(low, high, x_train),
        )
    plain = x_train.dtype.kind != "f" and kind == "0..255"
    return (
        read,
        f"({x_train.dtype}, {low:g} to {high:g}) read as {kind}" if not plain else f"({x_train.dtype}) read as bytes",
    )


def _scale_advice(low: float, high: float, x: np.ndarray) -> str:
    both = "x_train, x_test = "
    if x.dtype == np.int8:
        return f"{both}((x.astype(int) + 128).astype(np.uint8) for x in (x_train, x_test))   (if -128 is black)"
    if low >= 0 and high > 1:
        return f"{both}x_train / {high!r}, x_test / {high!r}   (if {high:g} is white)"
    if -0.5 <= low < 0 and high <= 1:
        return f"{both}np.clip(x_train, 0, 1), np.clip(x_test, 0, 1)   (if 0 is black and 1 white)"
    width = (high - low) or 1.0
    return f"{both}(np.uint8(np.rint(255 * np.clip((x - {low!r}) / {width!r}, 0, 1))) for x in (x_train, x_test))"


def reading(low: float, high: float, *, whole: bool) -> tuple[str, Callable[[np.ndarray], np.ndarray] | None]:
    """What a range of values is taken for, in words, and the function to 0..255; no function where that would be a guess.

    Args:
        low, high: the least and the largest value of all pictures.
        whole: whether the values are integers.
    """
    if low >= 0 and high <= 1 and (whole or high >= 0.05):
        return "0..1", lambda v: v * 255.0
    if low >= 0 and 32 <= high <= 255:
        return "0..255", lambda v: v
    if whole and low >= 0 and 255 < high <= 65535:
        bits = max(10, 2 * math.ceil(math.log2(high + 1) / 2))
        return f"{bits} bits", lambda v: v * (255.0 / (2**bits - 1))
    if not whole and -1 <= low < -0.5 and high <= 1:
        return "-1..1", lambda v: (v + 1) * 127.5
    return "", None


def _in_bytes(x_NCHW: np.ndarray, read: Callable[[np.ndarray], np.ndarray] | None) -> np.ndarray:
    if read is None:
        return np.ascontiguousarray(x_NCHW)
    out = np.empty(x_NCHW.shape, np.uint8)
    for start in range(0, len(out), _CHUNK):
        chunk = x_NCHW[start : start + _CHUNK].astype(np.float64)
        out[start : start + _CHUNK] = np.rint(np.clip(read(chunk), 0, 255))
    return out


def _type(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _range(array: np.ndarray) -> str:
    return f"from {array.min():g} to {array.max():g}" if array.size and array.dtype.kind in "iuf" else ""
