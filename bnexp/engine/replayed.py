"""A step on a CPU as the kernels that it calls, without the Python between them: of a small net's step that is a tenth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bnexp.engine import kernels
from bnexp.engine.step import OnBatch


def replay(
    graph: Callable[..., tuple[Tensor, Tensor]], read: Sequence[Tensor], batch: tuple[Tensor, Tensor],
    put_back: Callable[[], None],
) -> OnBatch | None:  # fmt: skip
    """What :func:`~bnexp.engine.kernels.recorded` makes of a step; None if it cannot, or does not do what ``graph`` does.

    Args:
        graph: ``graph(*read, images as floats, labels) -> (loss, correct)``, compiled for a CPU.
        read: tensors that stay where they are; the graph changes some of them.
        batch: any batch of the right shape; of floats it is the very memory that all batches will lie in.
        put_back: undoes what was changed.
    """
    fed = batch[0].is_floating_point()
    images, labels = batch if fed else (torch.zeros_like(batch[0], dtype=torch.float32), torch.zeros_like(batch[1]))
    try:
        again, (loss, correct) = kernels.recorded(lambda: graph(*read, images, labels))
    except Exception:  # Inductor calls its kernels in another way today, or the step is too large
        return None

    def step(new_images: Tensor, new_labels: Tensor) -> tuple[Tensor, Tensor]:
        if new_images is not images:
            images.copy_(new_images)
            labels.copy_(new_labels)
        again()
        return loss, correct

    def after(one: OnBatch) -> list[Tensor]:
        put_back()
        return [tensor.clone() for tensor in (*one(*other), *read)]

    # what is no kernel was not noted, and would still be as the first batch left it
    other = [torch.arange(x.numel()).remainder(most).view(x.shape).to(x) for x, most in ((images, 255), (labels, 2))]
    pairs = zip(after(step), after(lambda *batch: graph(*read, *batch)), strict=True)
    return step if all(torch.allclose(*pair, 1e-4, 1e-6, equal_nan=True) for pair in pairs) else None
