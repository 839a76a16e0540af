"""A step on a CPU as the kernels that it calls, without the Python between them: of a small net's step that is a tenth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from bnexp.engine import kernels
from bnexp.engine.cpp import Operator
from bnexp.engine.step import OnBatch

#: Bytes that the kernels of a recorded step may be given: as long as it is called, none of them is free.
MOST_HELD = 2**25


def replay(
    graph: Callable[..., tuple[Tensor, Tensor]], read: Sequence[Tensor], batch: tuple[Tensor, Tensor],
    put_back: Callable[[], None],
) -> OnBatch | None:  # fmt: skip
    """What :func:`recorded` makes of a step; None if it cannot, or does not do what ``graph`` does.

    Args:
        graph: ``graph(*read, images as floats, labels) -> (loss, correct)``, compiled for a CPU.
        read: tensors that stay where they are; the graph changes some of them.
        batch: any batch of the right shape; of floats it is the very memory that all batches will lie in.
        put_back: undoes what was changed.
    """
    fed = batch[0].is_floating_point()
    images, labels = batch if fed else (torch.zeros_like(batch[0], dtype=torch.float32), torch.zeros_like(batch[1]))
    try:
        again, (loss, correct) = recorded(lambda: graph(*read, images, labels))
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
    return step if all(torch.equal(*pair) or torch.allclose(*pair, 1e-4, 1e-6, equal_nan=True) for pair in pairs) else None


def recorded(run: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """The kernels that ``run`` calls, to be called again on the same memory, and its answer, which they write anew.

    What Inductor makes is Python that allocates each intermediate result, checks each input and calls some twenty kernels. Without
    all but the latter the paper's step takes 330 instead of 375 us. Whatever is no kernel is not done again: the caller compares.

    Args:
        run: a call of what Inductor compiled for a CPU, on tensors that stay where they are.

    Raises:
        RuntimeError: there are no kernels, or they are given more than ``MOST_HELD``, which Inductor would use several times over.
    """
    from torch._inductor.codecache import PyCodeCache

    calls: list[tuple[Operator, tuple[Any, ...], dict[str, Any]]] = []

    def noting(kernel: Operator) -> Operator:
        def call(*given: Any, **named: Any) -> Any:
            calls.append((kernel, given, named))
            return kernel(*given, **named)

        return call

    class Externs:
        def __init__(self, externs: Any) -> None:
            self._externs = externs

        def __getattr__(self, name: str) -> Operator:
            kernel: Operator = getattr(self._externs, name)
            return kernel if name == kernels.PRODUCT_INTO else noting(kernel)  # noted where it calls brgemm

    before = [(vars(module), dict(vars(module))) for module in PyCodeCache.modules]
    try:
        for names, own in before:
            names |= {name: noting(kernel) for name, kernel in own.items() if name.startswith("cpp_fused")}
            names["extern_kernels"] = Externs(own.get("extern_kernels"))
        with kernels.each_through(noting):
            answer = run()
    finally:
        for names, own in before:
            names |= own
    storages = [x.untyped_storage() for _, given, named in calls for x in (*given, *named.values()) if isinstance(x, Tensor)]
    held = sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
    if not calls or held > MOST_HELD:
        raise RuntimeError(f"{len(calls)} kernels on {held:,} bytes")

    def again() -> None:
        for kernel, given, named in calls:
            kernel(*given, **named)

    return again, answer
