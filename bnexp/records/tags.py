"""The names TensorBoard shows: it sorts them, so that the numbers in front are the order in which people look."""

from __future__ import annotations

#: The name of a measurement on record to its tag.
SCALARS = {
    "val/accuracy": "1 learning/1 accuracy, validation",
    "train/accuracy": "1 learning/2 accuracy, training",
    "val/loss": "1 learning/3 loss, validation",
    "train/loss": "1 learning/4 loss, training",
    "train/lr": "6 learning rate and time/learning rate",
    "clock/step_ms": "6 learning rate and time/ms per step",
}

#: Measurements that are shown under their own name as well: other programs name these two so, whose runs then lie over bnexp's, and
#: scripts that read TensorBoard's files look for them.
COMMON = ("val/accuracy", "train/loss")

#: Point of observation to the words of its group of tracks, in the order in which a value meets them.
POINTS = {
    "pre_norm": "2 before the norm",
    "post_norm": "3 after the norm",
    "next_input": "4 next layer",
}

#: What stands before the name of another probe, each of which is a group: several have a cosine or the norm of a gradient.
PROBES = "5 probe"

#: What a run ended with, one point a tag.
TEST_ACCURACY = "7 result/test accuracy"
DIVERGED = "7 result/diverged"


def scalar_tags(name: str) -> list[str]:
    """The tags of a measurement.

    Example:
        >>> scalar_tags("val/loss"), scalar_tags("val/accuracy")
        (['1 learning/3 loss, validation'], ['1 learning/1 accuracy, validation', 'val/accuracy'])
    """
    tag = SCALARS.get(name, f"{PROBES} {name}")
    return [tag, name] if name in COMMON else [tag]


def observation_tag(name: str) -> str:
    """The tag of what a probe saw; its labels follow behind a further ``/``.

    Example:
        >>> observation_tag("layer_inputs/pre_norm/hidden1"), observation_tag("shift/faded")
        ('2 before the norm/hidden1', '5 probe shift/faded')
    """
    probe, _, rest = name.partition("/")
    point, _, site = rest.partition("/")
    return f"{POINTS[point]}/{site}" if probe == "layer_inputs" and point in POINTS else f"{PROBES} {name}"


def target_tag(target: float) -> str:
    """The tag of the steps to a target accuracy, which sorts after smaller targets.

    Example:
        >>> target_tag(0.9)
        '7 result/steps to 0.9'
    """
    return f"7 result/steps to {target:g}"
