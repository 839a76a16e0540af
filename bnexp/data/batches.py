"""Batches of indices: which training examples share a batch, and in which order the batches of an epoch come.

Legend: N examples, K batches of an epoch, B batch.
"""

from __future__ import annotations

import torch

from bnexp.errors import UserError

#: Classes that share a batch, for the orders that sort by class.
CLASSES = {"one_class": 1, "two_classes": 2}


class Batches:
    """An endless supply of index batches, epoch after epoch; whatever is random in it is drawn from ``generator``.

    Batches are ``shuffled``: each epoch is a new permutation of the examples. ``fixed``: the examples are dealt into batches
    once, and each epoch these same batches come in a new order. ``one_class``, ``two_classes``: each epoch the examples of a
    class, or of two classes that are drawn anew to go together, are dealt into batches, and all these come in a random order.

    The examples that do not fill a last batch are left out of that epoch (those of ``fixed`` for good, those of a class a class):
    every batch has the same size, as the statistics of batch normalisation need. They take part in the next epoch with the same
    chance as all others. A batch of all examples (B = N, whole-batch gradient descent) has one order for good, the first
    permutation: then every step computes the same function of the weights, in micro-batches too.

    Args:
        num_examples: N.
        batch_size: B.
        generator: stream ``order`` of the run, on the CPU so that the order is the same on every device; nothing else
            draws from it.
        device: where the examples are. An epoch's order goes there at once: sending every batch would wait for a GPU each time.
        order: one of the four above.
        labels: the examples' classes, ``[N]``, for the orders that sort by class.

    Attributes:
        order_N: the examples of the present epoch, batch after batch, on the device.

    Raises:
        UserError: the batch is larger than the data, or than those of any class where batches are of one.
    """

    def __init__(
        self, num_examples: int, batch_size: int, generator: torch.Generator, device: torch.device | str = "cpu", *,
        order: str = "shuffled", labels: torch.Tensor | None = None,
    ) -> None:  # fmt: skip
        if batch_size > num_examples:
            raise UserError(
                f"train.batch_size must not be larger than the {num_examples} training examples",
                got=f"train.batch_size={batch_size}",
                todo=f"train.batch_size={num_examples}",
            )
        self._num_examples, self._batch_size = num_examples, batch_size
        self._generator, self._device, self._position = generator, device, 0
        self._together = CLASSES.get(order, 0)
        self._members: list[torch.Tensor] = []
        self._views: tuple[torch.Tensor, ...] = ()  # of order_N, a batch each
        if self._together:
            self._members = _by_class(labels, batch_size, order)
        self._partition_KB = self._dealt(self._permuted(torch.arange(num_examples))) if order == "fixed" else None
        self._shuffle()

    def next(self) -> torch.Tensor:
        """The indices of the next batch.

        Shape: ``[B]`` int64, all different, on the device.
        """
        start = self.advance()
        if not self._views:
            self._views = self.order_N.split(self._batch_size)  # at once: with cold caches a slice of a tensor takes 15 us
        return self._views[start // self._batch_size]

    def advance(self) -> int:
        """Go to the next batch, which may be of the next epoch; returns where it begins in ``order_N``."""
        if self._position + self._batch_size > self._end:
            if self._batch_size < self._num_examples:
                self._shuffle()
            self._position = 0
        start = self._position
        self._position += self._batch_size
        return start

    def epoch(self) -> torch.Tensor:
        """All whole batches of the present epoch. Shape: ``[K, B]`` int64, on the device."""
        return self._dealt(self.order_N)

    def state(self) -> dict[str, torch.Tensor | int]:
        """What is needed to go on from here: the generator at the start of this epoch, and the place in the epoch.

        The batches of ``fixed`` are not in it: they are those that the seed gave when this was made.
        """
        return {"generator": self._epoch_start.clone(), "position": self._position}

    def restore(self, state: dict[str, torch.Tensor | int]) -> None:
        """Go on exactly where :meth:`state` was taken, by batches of the same seed."""
        start, position = state["generator"], state["position"]
        assert isinstance(start, torch.Tensor)
        assert isinstance(position, int)
        self._generator.set_state(start)
        self._shuffle()
        self._position = position

    def _shuffle(self) -> None:
        self._epoch_start = self._generator.get_state()
        self.order_N = self._next_epoch().to(self._device)
        self._position, self._end, self._views = 0, len(self.order_N), ()

    def _next_epoch(self) -> torch.Tensor:
        """The examples of another epoch, batch after batch."""
        if self._partition_KB is not None:
            return self._permuted(self._partition_KB).flatten()
        if not self._together:
            return torch.randperm(self._num_examples, generator=self._generator, device=self._generator.device)
        classes = self._permuted(torch.arange(len(self._members))).split(self._together)
        groups = (torch.cat([self._members[index] for index in some.tolist()]) for some in classes)
        return self._permuted(torch.cat([self._dealt(self._permuted(group)) for group in groups])).flatten()

    def _permuted(self, rows: torch.Tensor) -> torch.Tensor:
        return rows[torch.randperm(len(rows), generator=self._generator, device=self._generator.device)]

    def _dealt(self, order_N: torch.Tensor) -> torch.Tensor:
        """Whole batches ``[K, B]`` of what is in order; what fills none is left out."""
        num_batches = len(order_N) // self._batch_size
        return order_N[: num_batches * self._batch_size].view(num_batches, self._batch_size)


def _by_class(labels: torch.Tensor | None, batch_size: int, order: str) -> list[torch.Tensor]:
    """The examples of each class; a class that fills no batch by itself is refused, or its examples would never be seen."""
    assert labels is not None
    members = [(labels.cpu() == number).nonzero().flatten() for number in labels.unique().tolist()]
    fewest = min(map(len, members))
    if fewest < batch_size:
        raise UserError(
            f"train.order={order} fills batches with examples of a class, and of one class there are only {fewest}",
            got=f"train.batch_size={batch_size}",
            todo=f"train.batch_size={fewest}, or train.order=shuffled",
        )
    return members
