"""Signs into bits, 32 to a word: the layouts of weights in `docs/ops.md`.

Signs are int8 arrays of ±1. Words are int32 arrays: bit i of a word is `1 << i`, a set bit is +1.
"""

from __future__ import annotations

import numpy as np

WORD = 32


def words_of(bits: int) -> int:
    """How many words hold so many bits."""
    return -(-bits // WORD)


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """Packs the last axis of a bool array.

    Args:
      bits: bool `[..., n]`.

    Returns:
      int32 `[..., ceil(n / 32)]`; the unused bits of the last word are zero.

    Example:
      >>> pack_bits(np.array([True, False, True])).tolist()
      [5]
    """
    missing = -bits.shape[-1] % WORD
    padded = np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, missing)])
    packed = np.packbits(padded, axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u4").astype(np.uint32).view(np.int32)


def pack_conv_filter(signs: np.ndarray, groups: int) -> np.ndarray:
    """Convolution weights for a packed input: each weight at the bit position of the channel it meets.

    Args:
      signs: int8 `[O, kh, kw, C / groups]`.
      groups: number of groups; output channels `g * O/groups` and following read the input
        channels `g * C/groups` and following.

    Returns:
      int32 `[O, kh, kw, F]`, F the largest number of words that a group touches.
    """
    filters, height, width, channels = signs.shape
    firsts = [group * channels for group in range(groups)]
    words = max(words_of(first % WORD + channels) for first in firsts)
    bits = np.zeros((filters, height, width, words * WORD), bool)
    per_group = filters // groups
    for group, first in enumerate(firsts):
        rows = slice(group * per_group, (group + 1) * per_group)
        begin = first % WORD
        bits[rows, ..., begin : begin + channels] = signs[rows] > 0
    return pack_bits(bits)


def pack_dense_filter(signs: np.ndarray, pixels: int, channels: int) -> np.ndarray:
    """Fully connected weights for a packed input of `pixels` vectors of `channels` channels each.

    Args:
      signs: int8 `[units, pixels * channels]`.

    Returns:
      int32 `[units, pixels * ceil(channels / 32)]`.
    """
    units = signs.shape[0]
    return pack_bits(signs.reshape(units, pixels, channels) > 0).reshape(units, -1)


def pack_contiguous(signs: np.ndarray) -> np.ndarray:
    """Weights for an input that is not packed: all bits of an output channel without gaps.

    Args:
      signs: int8 `[O, ...]`.

    Returns:
      int32 `[O, ceil(n / 32)]`, n the number of weights of an output channel.
    """
    return pack_bits(signs.reshape(signs.shape[0], -1) > 0)
