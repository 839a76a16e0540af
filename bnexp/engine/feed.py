"""A batch put straight into a compiled step's memory: gathered, made floats and standardised in one pass over its bytes.

torch takes five operations for it, whose code and results the step between them drives out of the caches.

Legend: B batch, C channels, H W space.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from bnexp.engine.build import Experiment
from bnexp.engine.cpp import Operator, built
from bnexp.engine.kernels import first_line
from bnexp.engine.step import say_once

_SOURCE = """
#include <cstdint>
#ifdef __clang__
#define VECTORS
#else  // Inductor tells GCC to leave loops as they are
#define VECTORS __attribute__((optimize("tree-loop-vectorize")))
#endif
extern "C" VECTORS void kernel(
    const uint8_t* images, const int64_t* labels, const int64_t* rows, const float* scale, const float* offset,
    float* inputs, int64_t* answers, int64_t B, int64_t P, int64_t shift) {
    const int64_t ahead = 4;  // rows lie anywhere in memory, which no processor foresees
    for (int64_t b = 0; b < B; ++b) {
        if (b + ahead < B)
            for (int64_t f = 0; f < C * P; f += 64) __builtin_prefetch(images + rows[b + ahead] * C * P + f);
        const uint8_t* row = images + rows[b] * C * P;
        float* input = inputs + b * C * P;
        answers[b] = labels[rows[b]];
        for (int64_t p = 0; p < P; ++p)
            for (int64_t c = 0; c < C; ++c)
                input[p * C + c] = float(row[c * P + p] >> shift) * scale[c * P + p] + offset[c * P + p];
    }
}
"""
_ARGUMENTS = [
    "const uint8_t*", *["const int64_t*"] * 2, *["const float*"] * 2, "float*", "int64_t*", *["int64_t"] * 3,
]  # fmt: skip


@cache
def _kernel(channels: int) -> Operator:
    """The loop above; ``channels`` are to lie together, which 1 leaves where they are."""
    return built(_ARGUMENTS, f"constexpr long C = {channels};{_SOURCE}")


class Feed:
    """A callable ``indices -> (inputs, labels)``: what ``experiment.training_batch`` gives, to the bit, always in the same memory.

    Shape: indices ``[B]`` int64; inputs ``[B, C, H, W]`` float32, labels ``[B]`` int64.

    Args:
        experiment: a run on the CPU, its examples not augmented.

    Attributes:
        batch: that memory.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._train, prepare = experiment.train, experiment.prepare
        shape = self._train.images.shape[1:]
        self._scale, self._offset = (one.expand(shape).contiguous().flatten() for one in (prepare.scale, prepare.offset))
        batch_size = experiment.config.train.batch_size
        inputs = prepare(self._train.images.new_zeros(batch_size, *shape))
        together = 1 if inputs.is_contiguous() else shape[0]
        self._sizes = (batch_size, shape.numel() // together, prepare.shift)
        self.batch = inputs, torch.zeros(batch_size, dtype=torch.int64)
        self._run = _kernel(together)

    def __call__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        self._run(self._train.images, self._train.labels, indices, self._scale, self._offset, *self.batch, *self._sizes)
        return self.batch


def feed_of(experiment: Experiment) -> Feed | None:
    """The run's feed, tried on a batch; None where torch's own operations have to do it, which is told if it should not be so."""
    dataset = experiment.config.dataset
    if not experiment.train.labels.is_cpu or not experiment.train.images.is_contiguous() or dataset.crop or dataset.flip:
        return None
    indices = torch.arange(experiment.config.train.batch_size).flip(0)
    reason = "wrong answers"  # of bytes and labels of another type too: the kernel takes its arguments' word for it
    try:
        feed = Feed(experiment)
        pairs = zip(feed(indices), experiment.training_batch(indices, experiment.augmentation), strict=True)
        if all(torch.equal(*pair) for pair in pairs):
            return feed
    except Exception as error:  # no such name, no compiler: torch's public operations are right
        reason = first_line(error)
    say_once(f"batches are gathered operation by operation, which takes longer ({reason})")
    return None
