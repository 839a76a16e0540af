"""A small vision transformer, whose norms are those of the factory.

Legend: N batch, T tokens (patches of an image), D features of a token, A heads; ND stands for N * T rows of D features.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from bnexp.config.checks import divides, whole
from bnexp.errors import UserError
from bnexp.models.blocks import NormAct, hidden_linear, linear_layer
from bnexp.models.factory import register
from bnexp.norms import NormFactory


class TokenNorm(nn.Module):
    """A norm over the features of tokens, without a nonlinearity.

    Every token of the batch is an example to the norm, ``[N * T, D]``: layer norm looks at one token at a time, as transformers
    have it, and batch norm's statistics are over all tokens of the batch, as in Yao et al. 2021. Ghost batches count tokens.
    """

    def __init__(self, norm: NormFactory, num_tokens: int, width: int) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        self.site = NormAct(norm, width, 0, "identity")

    def forward(self, x_NTD: Tensor) -> Tensor:
        """Shape: ``[N, T, D]``, kept."""
        return self.site(x_NTD.flatten(0, 1)).unflatten(0, (-1, self.num_tokens))


class Patches(nn.Module):
    """Cuts images into square patches, row by row, each flattened."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Shape: ``[N, C, H, W]`` to ``[N, T, C * side * side]``."""
        cut = x_NCHW.unflatten(3, (-1, self.side)).unflatten(2, (-1, self.side))
        return cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


class Embedding(nn.Module):
    """A linear map of each patch plus a learnable vector for its place, which starts at 0."""

    def __init__(self, norm: NormFactory, num_tokens: int, num_inputs: int, width: int) -> None:
        super().__init__()
        self.linear = hidden_linear(norm, num_inputs, width)
        self.places = nn.Parameter(torch.zeros(num_tokens, width))

    def forward(self, patches: Tensor) -> Tensor:
        """Shape: ``[N, T, inputs]`` to ``[N, T, D]``."""
        return self.linear(patches) + self.places


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + W2 gelu(W1 norm(x)) with a hidden layer twice as wide.

    All that ever reads the sums is a norm, so the biases of ``project`` and ``linear2`` are dropped where the norm would remove
    them, as in ``resmlp``; layers that read a norm keep theirs.
    """

    def __init__(self, norm: NormFactory, num_tokens: int, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = TokenNorm(norm, num_tokens, width)
        self.attend = norm.layer(linear_layer(width, 3 * width))
        self.project = hidden_linear(norm, width, width)
        self.norm2 = TokenNorm(norm, num_tokens, width)
        self.linear1 = norm.layer(linear_layer(width, 2 * width))
        self.gelu = nn.GELU()
        self.linear2 = hidden_linear(norm, 2 * width, width)

    def forward(self, x_NTD: Tensor) -> Tensor:
        """Shape: ``[N, T, D]``, kept."""
        split = self.attend(self.norm1(x_NTD)).unflatten(2, (3, self.num_heads, -1))
        qkv = split.permute(2, 0, 3, 1, 4).unbind(0)  # indexing would fill a gradient of zeros for each
        mixed_NATd = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        x_NTD = x_NTD + self.project(mixed_NATd.transpose(1, 2).flatten(2))
        return x_NTD + self.linear2(self.gelu(self.linear1(self.norm2(x_NTD))))


class TokenMean(nn.Module):
    """The mean over the tokens of an image."""

    def forward(self, x_NTD: Tensor) -> Tensor:
        """Shape: ``[N, T, D]`` to ``[N, D]``."""
        return x_NTD.mean(1)


@register("vit")
def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    norm: NormFactory,
    *,
    depth: int,
    width: int,
    heads: int,
    patch: int,
) -> nn.Module:
    """``embed``, pre-norm blocks ``block1``, ``block2``, ..., a last ``norm``, the mean over tokens, then ``output``.

    Shape: ``[N, C, H, W]`` to ``[N, num_classes]``.

    Args:
        input_shape: (C, H, W) of one example; H and W are multiples of ``patch``.
        num_classes: number of logits.
        norm: normaliser in front of the attention and of the hidden layer of each block, and of the last place.
        depth: number of blocks.
        width: D.
        heads: attention heads, which divide ``width``.
        patch: pixels along a patch's side.

    Raises:
        UserError: an option out of its range, or images that are not made of whole patches.

    Source: Dosovitskiy et al. 2021, section 3.1 and Fig. 1, with the mean over tokens in the place of a class token (their
        appendix D.3).
    Deviation: the hidden layer is twice as wide as a token, not four times; places start at 0, not at small random values; no
        dropout. Tiny, so that it trains in seconds on a CPU.
    """
    whole("model.depth", depth, least=1, example=2)
    whole("model.width", width, least=1, example=32)
    divides("model.heads", whole("model.heads", heads, least=1, example=4), "model.width", width)
    whole("model.patch", patch, least=1, example=4)
    channels, *pixels = input_shape
    if any(side % patch for side in pixels):
        fitting = [size for size in range(1, min(pixels) + 1) if not any(side % size for side in pixels)]
        raise UserError(
            f"model=vit cuts images into patches of {patch}x{patch} pixels, and these are not made of whole ones",
            got=f"{pixels[0]}x{pixels[1]} pixels",
            todo=f"model.patch={min(fitting, key=lambda size: abs(size - patch))} (whole patches: {fitting})",
        )
    num_tokens = math.prod(side // patch for side in pixels)
    layers: OrderedDict[str, nn.Module] = OrderedDict(patches=Patches(patch))
    layers["embed"] = Embedding(norm, num_tokens, channels * patch * patch, width)
    for index in range(1, depth + 1):
        layers[f"block{index}"] = TransformerBlock(norm, num_tokens, width, heads)
    layers |= {"norm": TokenNorm(norm, num_tokens, width), "mean": TokenMean(), "output": linear_layer(width, num_classes)}
    return nn.Sequential(layers)
