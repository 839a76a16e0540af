"""What a model that halves its images asks of their size."""

from __future__ import annotations

from bnexp.errors import UserError


def require_size(model: str, input_shape: tuple[int, int, int], smallest: int) -> None:
    """Refuse images whose shorter side has fewer than ``smallest`` pixels.

    Example:
        >>> require_size("vgg", (1, 28, 28), 32)
        Traceback (most recent call last):
        bnexp.errors.UserError: model=vgg needs images of at least 32x32 pixels
          got: 28x28 pixels
          try: dataset.pad=2, or 2 more than it is if you have set it: a border of zeros that makes them 32x32
    """
    _, height, width = input_shape
    missing = smallest - min(height, width)
    if missing > 0:
        pad = (missing + 1) // 2
        raise UserError(
            f"model={model} needs images of at least {smallest}x{smallest} pixels",
            got=f"{height}x{width} pixels",
            todo=f"dataset.pad={pad}, or {pad} more than it is if you have set it: "
            f"a border of zeros that makes them {height + 2 * pad}x{width + 2 * pad}",
        )
