"""Codes into planes of bits, in words of 32 or without gaps: the layouts of weights in `docs/ops.md`.

Weights are arrays of integers, what their codes are worth. Words are int32 arrays: bit i of a word is `1 << i`.
"""

from __future__ import annotations

import numpy as np

from keras_ste.codes import Codes

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


def pack_codes(weights: np.ndarray, codes: Codes) -> np.ndarray:
    """Packs the last axis: plane 0 of words, then plane 1, and so on.

    Args:
      weights: integers `[..., n]`.
      codes: their code book.

    Returns:
      int32 `[..., bits * ceil(n / 32)]`.

    Example:
      >>> pack_codes(np.array([-3, -1, 1, 3]), Codes(2, "bipolar")).tolist()
      [10, 12]
    """
    return _pack_numbers(codes.numbers(weights), codes.bits)


def unpack_codes(words: np.ndarray, channels: int, codes: Codes) -> np.ndarray:
    """What packed codes are worth, less their zero point: `pack_codes` undone.

    Args:
      words: int32 `[..., bits * ceil(channels / 32)]`.
      channels: their number.
      codes: their code book.

    Returns:
      int32 `[..., channels]`.

    Example:
      >>> unpack_codes(np.array([10, 12], np.int32), 4, Codes(2, "bipolar")).tolist()
      [-3, -1, 1, 3]
    """
    planes = words.reshape(*words.shape[:-1], codes.bits, words_of(channels)).astype("<i4").view(np.uint8)
    bits = np.unpackbits(planes, axis=-1, count=channels, bitorder="little").astype(np.int32)
    numbers = sum(bits[..., plane, :] << plane for plane in range(codes.bits))
    return codes.values(numbers)


def _pack_numbers(numbers: np.ndarray, bits: int) -> np.ndarray:
    return np.concatenate([pack_bits(numbers >> plane & 1 == 1) for plane in range(bits)], axis=-1)


def pack_conv_filter(weights: np.ndarray, groups: int, codes: Codes) -> np.ndarray:
    """Convolution weights for a packed input: each weight at the bit position of the channel it meets.

    Args:
      weights: integers `[O, kh, kw, C / groups]`.
      groups: number of groups; output channels `g * O/groups` and following read the input
        channels `g * C/groups` and following.
      codes: their code book.

    Returns:
      int32 `[O, kh, kw, bits * F]`, F the largest number of words that a group touches.
    """
    filters, height, width, channels = weights.shape
    firsts = [group * channels for group in range(groups)]
    words = max(words_of(first % WORD + channels) for first in firsts)
    numbers = np.zeros((filters, height, width, words * WORD), np.int32)
    per_group = filters // groups
    for group, first in enumerate(firsts):
        rows = slice(group * per_group, (group + 1) * per_group)
        begin = first % WORD
        numbers[rows, ..., begin : begin + channels] = codes.numbers(weights[rows])
    return _pack_numbers(numbers, codes.bits)


def pack_dense_filter(weights: np.ndarray, pixels: int, channels: int, codes: Codes) -> np.ndarray:
    """Fully connected weights for a packed input of `pixels` vectors of `channels` channels each.

    Args:
      weights: integers `[units, pixels * channels]`.
      codes: their code book.

    Returns:
      int32 `[units, pixels * bits * ceil(channels / 32)]`.
    """
    units = weights.shape[0]
    return pack_codes(weights.reshape(units, pixels, channels), codes).reshape(units, -1)


def pack_contiguous(weights: np.ndarray, codes: Codes) -> np.ndarray:
    """Weights for an input that is not packed: each plane of an output channel without gaps.

    Args:
      weights: integers `[O, ...]`.
      codes: their code book.

    Returns:
      int32 `[O, bits * ceil(n / 32)]`, n the number of weights of an output channel.
    """
    return pack_codes(weights.reshape(weights.shape[0], -1), codes)


def pack_gapless(rows: np.ndarray, codes: Codes) -> np.ndarray:
    """Rows of weights one behind the other: plane 0 of a row, plane 1, and so on, without a gap anywhere.

    Args:
      rows: integers `[..., n]`, the weights of one row along the last axis.
      codes: their code book.

    Returns:
      uint8 `[ceil(bits * rows.size / 8)]`, bit i of a byte being `1 << i`; the unused bits of the last one are zero.

    Example:
      >>> pack_gapless(np.array([[-3, -1, 1], [3, 3, -3]]), Codes(2, "bipolar")).tolist()
      [226, 6]
    """
    numbers = codes.numbers(rows).reshape(-1, 1, rows.shape[-1])
    bits = numbers >> np.arange(codes.bits)[:, np.newaxis] & 1
    return np.packbits(bits.astype(bool), axis=None, bitorder="little")
