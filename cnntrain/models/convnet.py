"""Convolution blocks of a from-scratch network, and the arithmetic of their sizes."""

from collections.abc import Sequence
from typing import Any

import keras

from cnntrain.config.sections import Block


def build_blocks(pictures: Any, blocks: Sequence[Block]) -> Any:
    """Puts the blocks on top of the pictures, which are first scaled from 0–255 to 0–1.

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
    x = keras.layers.Conv2D(
        block.filters,
        block.kernel_size,
        strides=block.stride,
        padding=block.padding,
        activation=None if block.batch_norm else block.activation,
        use_bias=not block.batch_norm,
        name=f"{name}_conv",
    )(x)
    if block.batch_norm:
        x = keras.layers.BatchNormalization(name=f"{name}_batch_norm")(x)
        x = keras.layers.Activation(block.activation, name=f"{name}_activation")(x)
    if block.pooling != "none":
        pooling = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}[block.pooling]
        x = pooling(block.pool_size, name=f"{name}_pool")(x)
    if block.dropout:
        x = keras.layers.Dropout(block.dropout, name=f"{name}_dropout")(x)
    return x


def block_sizes(side: int, blocks: Sequence[Block]) -> tuple[int, ...]:
    """Side of the feature maps after each block, in pixels; 0 or less where the picture is too small for it.

    A valid window of k pixels and step s fits (n - k) // s + 1 times into n pixels; padded to the same, ceil(n / s).
    """
    sizes = []
    for block in blocks:
        side = -(-side // block.stride) if block.padding == "same" else (side - block.kernel_size) // block.stride + 1
        if block.pooling != "none":
            side = (side - block.pool_size) // block.pool_size + 1
        sizes.append(side)
    return tuple(sizes)
