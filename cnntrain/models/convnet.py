"""Convolution blocks of a from-scratch network, and the arithmetic of their sizes."""

from collections.abc import Sequence
from typing import Any

import keras

from cnntrain.config.sections import Block


def build_blocks(pictures: Any, blocks: Sequence[Block]) -> Any:
    """Puts the blocks on top of the pictures, which are first scaled from 0–255 to 0–1.

    Which layers there are depends on the blocks alone, never on the size of the pictures.

    Args:
        pictures: Symbolic tensor (N, height, width, channels).
        blocks: From the picture upwards.

    Returns:
        Symbolic feature maps (N, height, width, filters).
    """
    x = keras.layers.Rescaling(1.0 / 255.0, name="rescaling")(pictures)
    for number, block in enumerate(blocks, start=1):
        x = _build_block(x, block, f"block{number}")
    return x


def _build_block(x: Any, block: Block, name: str) -> Any:
    came_in = x
    for number in range(1, block.convolutions + 1):
        x = _convolve(x, block, name, number)
    if block.pooling != "none":
        pooling = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}[block.pooling]
        x = pooling(block.pool_size, strides=block.pool_stride, padding=block.pool_padding, name=f"{name}_pool")(x)
    if block.residual:
        x = keras.layers.Add(name=f"{name}_add")([x, _project(came_in, block, name)])
    if block.dropout:
        x = keras.layers.Dropout(block.dropout, name=f"{name}_dropout")(x)
    return x


def _convolve(x: Any, block: Block, name: str, number: int) -> Any:
    """The convolution of this number with its batch normalization and activation, be they before or after it."""
    end = str(number) if block.convolutions > 1 else ""
    is_alone = block.batch_norm is None and not block.norm_first  # the activation is then a part of it
    kind = keras.layers.SeparableConv2D if block.separable else keras.layers.Conv2D
    convolution = kind(
        block.filters,
        block.kernel_size,
        strides=block.stride if number == 1 else 1,
        padding=block.padding,
        activation=block.activation if is_alone else None,
        use_bias=_has_bias(block),
        name=f"{name}_conv{end}",
    )
    others = [] if is_alone else _normalization(block, name, end)
    for layer in [*others, convolution] if block.norm_first else [convolution, *others]:
        x = layer(x)
    return x


def _normalization(block: Block, name: str, end: str) -> list[Any]:
    """Batch normalization, where there is one, and activation, as layers that are not yet called."""
    activation = keras.layers.Activation(block.activation, name=f"{name}_activation{end}")
    if block.batch_norm is None:
        return [activation]
    options = {"momentum": block.batch_norm.momentum, "epsilon": block.batch_norm.epsilon}
    return [keras.layers.BatchNormalization(**options, name=f"{name}_batch_norm{end}"), activation]


def _has_bias(block: Block) -> bool:
    return block.batch_norm is None if block.bias is None else block.bias


def _project(x: Any, block: Block, name: str) -> Any:
    """What came into a block, in the shape of what leaves it (He et al. 2016, option B)."""
    step = block.stride * _pool_step(block)
    if step == 1 and x.shape[-1] == block.filters:
        return x
    projection = keras.layers.Conv2D(
        block.filters, 1, strides=step, padding="same", use_bias=_has_bias(block), name=f"{name}_projection"
    )
    return projection(x)


def _pool_step(block: Block) -> int:
    return 1 if block.pooling == "none" else block.pool_stride or block.pool_size


def block_sizes(side: int, blocks: Sequence[Block]) -> tuple[int, ...]:
    """Side of the feature maps after each block, in pixels; 0 or less where the picture is too small for it."""
    sizes = []
    for block in blocks:
        for number in range(block.convolutions):
            side = _windows(side, block.kernel_size, block.stride if number == 0 else 1, block.padding)
        if block.pooling != "none":
            side = _windows(side, block.pool_size, _pool_step(block), block.pool_padding)
        sizes.append(side)
    return tuple(sizes)


def _windows(side: int, size: int, step: int, padding: str) -> int:
    """How many windows fit: (n - k) // s + 1 windows of k pixels and step s into n pixels; padded, ceil(n / s)."""
    return -(-side // step) if padding == "same" else (side - size) // step + 1
