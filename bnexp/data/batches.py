"""Batches of indices: one permutation of the training examples an epoch.

Legend: N examples, B batch.
"""

from __future__ import annotations

import torch

from bnexp.errors import UserError


class Batches:
    """An endless supply of index batches; each epoch is a new permutation drawn from ``generator``.

    A batch of all examples (B = N, whole-batch gradient descent) has one order for good, the first permutation: then every step
    computes the same function of the weights, in micro-batches too.

    The examples that do not fill a last batch are left out of that epoch: every batch has the same size, as the
    statistics of batch normalisation need. They take part in the next epoch with the same chance as all others.

    Args:
        num_examples: N.
        batch_size: B.
        generator: stream ``order`` of the run, on the CPU so that the order is the same on every device; nothing else
            draws from it.
        device: where the examples are. An epoch's order goes there at once: sending every batch would wait for a GPU each time.

    Raises:
        UserError: the batch is larger than the data.
    """

    def __init__(
        self, num_examples: int, batch_size: int, generator: torch.Generator, device: torch.device | str = "cpu"
    ) -> None:
        if batch_size > num_examples:
            raise UserError(
                f"train.batch_size must not be larger than the {num_examples} training examples",
                got=f"train.batch_size={batch_size}",
                todo=f"train.batch_size={num_examples}",
            )
        self._num_examples, self._batch_size = num_examples, batch_size
        self._generator, self._device, self._position = generator, device, 0
        self._shuffle()

    def next(self) -> torch.Tensor:
        """The indices of the next batch.

        Shape: ``[B]`` int64, all different, on the device.
        """
        if self._position + self._batch_size > self._num_examples:
            if self._batch_size < self._num_examples:
                self._shuffle()
            self._position = 0
        indices_B = self._order_N[self._position : self._position + self._batch_size]
        self._position += self._batch_size
        return indices_B

    @property
    def order(self) -> torch.Tensor:
        """The indices of this epoch in their order, ``[N]`` int64."""
        return self._order_N

    def state(self) -> dict[str, torch.Tensor | int]:
        """What is needed to go on from here: the generator at the start of this epoch, and the place in the epoch."""
        return {"generator": self._epoch_start.clone(), "position": self._position}

    def restore(self, state: dict[str, torch.Tensor | int]) -> None:
        """Go on exactly where :meth:`state` was taken."""
        start, position = state["generator"], state["position"]
        assert isinstance(start, torch.Tensor)
        assert isinstance(position, int)
        self._generator.set_state(start)
        self._shuffle()
        self._position = position

    def _shuffle(self) -> None:
        self._epoch_start = self._generator.get_state()
        order_N = torch.randperm(self._num_examples, generator=self._generator, device=self._generator.device)
        self._order_N = order_N.to(self._device)
        self._position = 0
