"""The layouts of packed weights, against docs/ops.md as reference_ops.py reads it."""

import hypothesis
import numpy as np
import reference_ops
from hypothesis import strategies as st

from keras_ste.codes import Codes
from keras_ste.converter import packing

sizes = st.integers(1, 4)
channel_counts = st.sampled_from([1, 2, 7, 31, 32, 33, 64, 100])


def signs(seed, *shape):
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), shape)


@hypothesis.given(st.integers(0, 2**32 - 1), sizes, channel_counts)
def test_bits_are_where_the_document_says(seed, rows, channels):
    values = signs(seed, rows, channels)
    words = packing.pack_bits(values > 0)
    assert words.dtype == np.int32 and words.shape == (rows, -(-channels // 32))
    np.testing.assert_array_equal(words, reference_ops.pack(values > 0))
    np.testing.assert_array_equal(reference_ops.unpack(words, channels), values)


code_books = st.one_of(
    st.just(Codes(2, "ternary")),
    st.builds(Codes, st.integers(1, 8), st.sampled_from(["bipolar", "unsigned", "signed"])),
)


def weights_of(codes, seed, *shape):
    return np.random.default_rng(seed).choice(codes.worths[codes.encoding == "ternary" :], shape)


@hypothesis.given(
    st.integers(0, 2**32 - 1), sizes, sizes, st.integers(1, 5), st.integers(1, 3), channel_counts, code_books
)
def test_conv_filter_meets_its_channels(seed, height, width, groups, per_group, group_channels, codes):
    values = weights_of(codes, seed, groups * per_group, height, width, group_channels)
    words = packing.pack_conv_filter(values, groups, codes)
    options = {
        "filters": len(values),
        "kernel_h": height,
        "kernel_w": width,
        "channels": groups * group_channels,
        "groups": groups,
    }
    unpacked = reference_ops._conv_weights(words, True, options | codes.options("weight"))
    np.testing.assert_array_equal(unpacked, values)
    # As many bits are set as the codes of weights have: everything else is zero.
    assert np.bitwise_count(words.view(np.uint32)).sum() == np.bitwise_count(codes.numbers(values)).sum()
    ends = [(g * group_channels % 32) + group_channels for g in range(groups)]
    assert words.shape[-1] == codes.bits * max(-(-end // 32) for end in ends)


@hypothesis.given(st.integers(0, 2**32 - 1), sizes, st.integers(1, 9), channel_counts, code_books)
def test_dense_filter_is_packed_pixel_by_pixel(seed, units, pixels, channels, codes):
    values = weights_of(codes, seed, units, pixels * channels)
    words = packing.pack_dense_filter(values, pixels, channels, codes)
    assert words.shape == (units, pixels * codes.bits * -(-channels // 32))
    unpacked = reference_ops.unpack_codes(words.reshape(units, pixels, -1), channels, (codes.bits, codes.encoding))
    np.testing.assert_array_equal(unpacked.reshape(units, -1), values)


@hypothesis.given(st.integers(0, 2**32 - 1), sizes, sizes, sizes, channel_counts, code_books)
def test_filter_for_unpacked_input_has_no_gaps(seed, filters, height, width, channels, codes):
    values = weights_of(codes, seed, filters, height, width, channels)
    words = packing.pack_contiguous(values, codes)
    assert words.shape == (filters, codes.bits * -(-height * width * channels // 32))
    unpacked = reference_ops.unpack_codes(words, height * width * channels, (codes.bits, codes.encoding))
    np.testing.assert_array_equal(unpacked, values.reshape(filters, -1))
