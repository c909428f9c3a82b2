"""The custom ops of docs/ops.md in plain numpy: what kernels and the converter are tested against.

Written from the document alone, without the package's own code.
"""

import numpy as np


def unpack(words, channels):
    """int32 `[..., ceil(channels / 32)]` to int64 `[..., channels]` of ±1."""
    bits = (words.view(np.uint32)[..., np.newaxis] >> np.arange(32, dtype=np.uint32)) & 1
    bits = bits.reshape(*words.shape[:-1], words.shape[-1] * 32)
    assert not bits[..., channels:].any(), "unused bits are set"
    return 2 * bits[..., :channels].astype(np.int64) - 1


def pack(bits):
    """bool `[..., C]` to int32 `[..., ceil(C / 32)]`."""
    channels = bits.shape[-1]
    words = np.zeros((*bits.shape[:-1], -(-channels // 32)), np.uint32)
    for channel in range(channels):
        words[..., channel // 32] |= bits[..., channel].astype(np.uint32) << np.uint32(channel % 32)
    return words.view(np.int32)


def codes_of(name, options):
    """The bits and the encoding that the options name."""
    return options.get(f"{name}_bits", 1), options.get(f"{name}_encoding", "bipolar")


def worth(codes, bits, encoding):
    """What codes, as unsigned numbers, are worth."""
    if encoding == "bipolar":
        return 2 * codes - (2**bits - 1)
    return np.where(codes >> (bits - 1), codes - 2**bits, codes) if encoding in ("signed", "ternary") else codes


def code_of(values, bits, encoding):
    """The codes, as unsigned numbers, that are worth so much."""
    return (values + 2**bits - 1) // 2 if encoding == "bipolar" else values % 2**bits


def unpack_codes(words, channels, bits, encoding):
    """int32 `[..., bits * ceil(channels / 32)]` to int64 `[..., channels]`, what the codes are worth."""
    planes = words.reshape(*words.shape[:-1], bits, -1)
    codes = (unpack(planes, channels) + 1) // 2 << np.arange(bits)[:, np.newaxis]
    return worth(codes.sum(-2), bits, encoding)


def pack_codes(codes, bits):
    """int64 `[..., C]`, codes as unsigned numbers, to int32 `[..., bits * ceil(C / 32)]`."""
    planes = codes[..., np.newaxis, :] >> np.arange(bits)[:, np.newaxis] & 1
    return pack(planes != 0).reshape(*codes.shape[:-1], -1)


def quantize(inputs, options):
    """SteQuantize."""
    if options["version"] == 2:
        return float_outputs(numbers(inputs[0], "input", options).astype(np.float32), inputs[1:], options)
    (x,) = inputs
    assert x.shape[-1] == options["channels"] and (options["bits"], options["encoding"]) == (1, "bipolar")
    return pack(x >= 0)


def _same_padding(size, kernel, stride, dilation):
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def _windows(x, kernel, stride, dilation, padding, fill):
    """Yields (row, column, values of that place of every window), axes of x: N, H, W, C."""
    if padding == "same":
        pads = [_same_padding(x.shape[1 + i], kernel[i], stride[i], dilation[i]) for i in range(2)]
        x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)
    out = [(x.shape[1 + i] - (kernel[i] - 1) * dilation[i] - 1) // stride[i] + 1 for i in range(2)]
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            top, left = row * dilation[0], column * dilation[1]
            yield row, column, x[
                :,
                top : top + (out[0] - 1) * stride[0] + 1 : stride[0],
                left : left + (out[1] - 1) * stride[1] + 1 : stride[1],
            ]


def _sums(x, weights, groups, windows):
    """The sums: int64, or float32 added one product at a time. weights: `[O, kh, kw, C / groups]`."""
    filters, _, _, channels = weights.shape
    per_group = filters // groups
    sums = None
    for row, column, values in windows:
        if sums is None:
            sums = np.zeros((*values.shape[:-1], filters), x.dtype)
        for group in range(groups):
            outputs = slice(group * per_group, (group + 1) * per_group)
            inputs = values[..., group * channels : (group + 1) * channels]
            w = weights[outputs, row, column].astype(x.dtype)
            if x.dtype == np.float32:
                for channel in range(channels):
                    sums[..., outputs] += inputs[..., channel, np.newaxis] * w[:, channel]
            else:
                sums[..., outputs] += inputs @ w.T
    return sums


def _packed(sums, thresholds, options):
    assert thresholds.dtype == (np.float32 if sums.dtype == np.float32 else np.int32)
    bits, encoding = codes_of("output", options)
    reached = (sums[..., np.newaxis, :] >= thresholds.reshape(2**bits - 1, -1)).sum(-2)
    return pack_codes((reached - (2 ** (bits - 1) if encoding in ("signed", "ternary") else 0)) % 2**bits, bits)


def _quantized(sums, multiplier, bias, shifts, options):
    limits = np.iinfo(options["output"])
    right = 31 - shifts.astype(np.int64)
    moved = sums + (0 if bias is None else bias)
    y = (moved * multiplier + (1 << (right - 1)) >> right) + options.get("output_zero_point", 0)
    y = np.clip(y, options.get("output_min", limits.min), options.get("output_max", limits.max))
    return y.astype(options["output"])


def _finish(sums, inputs, options):
    multiplier, bias, thresholds = (list(inputs[2:]) + [None] * 3)[:3]
    if options["output"] == "packed":
        assert multiplier is None and bias is None
        return _packed(sums, thresholds, options)
    if options["output"] in ("int8", "int16"):
        return _quantized(sums, multiplier, bias, thresholds, options)
    assert thresholds is None
    if options["output"] == "int32":
        assert multiplier is None and bias is None
        return sums.astype(np.int32)
    y = sums.astype(np.float32)
    y = y * (np.float32(1) if multiplier is None else multiplier)
    y = y + (np.float32(0) if bias is None else bias)
    low = np.float32(options.get("activation_min", -np.inf))
    return np.minimum(np.maximum(y, low), np.float32(options.get("activation_max", np.inf)))


def _numbers(x, channels, options):
    """An input as float32 or int64."""
    if x.dtype == np.int32:
        return unpack(x, channels)
    if x.dtype == np.float32:
        return x
    return x.astype(np.int64) - options.get("input_zero_point", 0)


def _conv_weights(filters, packed, options):
    """`[O, kh, kw, C / groups]` of ±1."""
    o, kh, kw = options["filters"], options["kernel_h"], options["kernel_w"]
    groups = options["groups"]
    channels = options["channels"] // groups
    if not packed:
        return unpack(filters, kh * kw * channels).reshape(o, kh, kw, channels)
    assert filters.shape[:3] == (o, kh, kw)
    weights = np.zeros((o, kh, kw, channels), np.int64)
    for output in range(o):
        first = output // (o // groups) * channels
        for channel in range(channels):
            bit = first + channel - first // 32 * 32
            word = filters[output, :, :, bit // 32].view(np.uint32)
            weights[output, :, :, channel] = 2 * ((word >> np.uint32(bit % 32)) & 1).astype(np.int64) - 1
    return weights


def conv2d(inputs, options):
    """SteConv2D."""
    x = _numbers(inputs[0], options["channels"], options)
    assert x.shape[-1] == options["channels"]
    weights = _conv_weights(inputs[1], inputs[0].dtype == np.int32, options)
    geometry = [[options[f"{what}_{axis}"] for axis in "hw"] for what in ("kernel", "stride", "dilation")]
    windows = _windows(x, *geometry, options["padding"], options["pad_value"])
    return _finish(_sums(x, weights, options["groups"], windows), inputs, options)


def depthwise_conv2d(inputs, options):
    """SteDepthwiseConv2D."""
    times = options["depth_multiplier"]
    x = np.repeat(numbers(inputs[0], "input", options), times, axis=-1)
    assert x.shape[-1] == options["channels"] * times
    weights = unpack_codes(inputs[1], x.shape[-1], *codes_of("weight", options)).astype(x.dtype)
    geometry = [[options[f"{what}_{axis}"] for axis in "hw"] for what in ("kernel", "stride", "dilation")]
    sums = x.dtype.type(0)
    for row, column, values in _windows(x, *geometry, options["padding"], options["pad_value"]):
        with np.errstate(invalid="ignore", over="ignore"):
            sums = sums + values * weights[row, column]
    return float_outputs(sums, inputs[2:], options) if x.dtype == np.float32 else _finish(sums, inputs, options)


def fully_connected(inputs, options):
    """SteFullyConnected."""
    x, units = inputs[0], options["units"]
    axes, pixels, channels = options.get("input_axes", 1), options.get("pixels", 1), options["channels"]
    lead, row = x.shape[:-axes], x.shape[-axes:]
    assert int(np.prod(row[:-1])) == pixels
    if x.dtype == np.int32:
        weights = unpack(inputs[1].reshape(units, pixels, -1), channels)
    else:
        weights = unpack(inputs[1], pixels * channels)
    x = _numbers(x, channels, options).reshape(-1, 1, 1, pixels * channels)
    sums = _sums(x, weights.reshape(units, 1, 1, -1), 1, [(0, 0, x)])
    return _finish(sums.reshape(*lead, units), inputs, options)


def max_pool2d(inputs, options):
    """SteMaxPool2D."""
    channels = options["channels"]
    minimum = inputs[1] if len(inputs) > 1 else None
    sign = np.ones(channels, np.int64) if minimum is None else -unpack(minimum, channels)
    codes = codes_of("input", options)
    x = unpack_codes(inputs[0], channels, *codes) * sign
    geometry = [[options[f"{what}_{axis}"] for axis in "hw"] for what in ("pool", "stride")]
    windows = _windows(x, *geometry, (1, 1), options["padding"], -256)
    return pack_codes(code_of(np.max([values for _, _, values in windows], axis=0) * sign, *codes), codes[0])


def numbers(x, name, options):
    """An input of floats, bytes or packed codes: float32, or int64 less the zero point."""
    if x.dtype == np.float32:
        return x
    zero_point = options.get(f"{name}_zero_point", 0)
    if x.dtype == np.int32:
        return unpack_codes(x, options["channels"], *codes_of(name, options)) - zero_point
    return x.astype(np.int64) - zero_point


def count_thresholds(sums, thresholds, bits, encoding):
    """The codes, as unsigned numbers, of sums by the number of thresholds that they reach."""
    codes = np.sum(sums >= thresholds.reshape(2**bits - 1, *[1] * (sums.ndim - 1), -1), axis=0)
    return (codes - 2 ** (bits - 1)) % 2**bits if encoding in ("signed", "ternary") else codes


def round_codes(sums, multiplier, bias, bits, encoding, options):
    """The integers that sums are rounded to."""
    low, high = {"signed": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1), "ternary": (-1, 1)}.get(encoding, (0, 2**bits - 1))
    low, high = options.get("output_min", low), options.get("output_max", high)
    zero_point = options.get("output_zero_point", 0)
    with np.errstate(invalid="ignore", over="ignore"):
        y = sums * (np.float32(1) if multiplier is None else multiplier) + (np.float32(0) if bias is None else bias)
    codes = np.clip(np.rint(y.astype(np.float64)) + zero_point, low, high)
    return np.where(np.isnan(y), 0, codes).astype(np.int64)


def float_outputs(sums, constants, options):
    """What becomes of float32 sums; the constants are multiplier, bias and thresholds."""
    assert sums.dtype == np.float32
    multiplier, bias, thresholds = (list(constants) + [None] * 3)[:3]
    if options["output"] == "float32":
        return _finish(sums, [None, None, multiplier, bias, thresholds], options)
    if options["output"] == "packed":
        bits, encoding = codes_of("output", options)
        if thresholds is not None:
            assert multiplier is None and bias is None
            return pack_codes(count_thresholds(sums, thresholds, bits, encoding), bits)
        return pack_codes(round_codes(sums, multiplier, bias, bits, encoding, options) % 2**bits, bits)
    dtype = np.dtype(options["output"])
    return round_codes(sums, multiplier, bias, 8 * dtype.itemsize, "signed", options).astype(dtype)


def average_pool2d(inputs, options):
    """SteAveragePool2D."""
    x = numbers(inputs[0], "input", options)
    geometry = [[options[f"{what}_{axis}"] for axis in "hw"] for what in ("pool", "stride")]
    sums, places = (
        np.sum([values for _, _, values in _windows(each, *geometry, (1, 1), options["padding"], 0)], axis=0)
        for each in (x, np.ones_like(x))
    )
    if options["output"] == "int32":
        return sums.astype(np.int32)
    return float_outputs(sums.astype(np.float32) / places.astype(np.float32), inputs[1:], options)


def add(inputs, options):
    """SteAdd."""
    a, b, scale_a, scale_b = (list(inputs) + [None] * 2)[:4]
    a, b = numbers(a, "a", options).astype(np.float32), numbers(b, "b", options).astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        a = a if scale_a is None else a * scale_a
        b = b if scale_b is None else b * scale_b
        return float_outputs(a + b, inputs[4:], options)


def dequantize(inputs, options):
    """SteDequantize."""
    x, table, multiplier, bias = (list(inputs) + [None] * 3)[:4]
    values = numbers(x, "input", options)
    if table is None:
        values = values.astype(np.float32)
    else:
        codes = code_of(values, *codes_of("input", options))
        values = table[codes] if table.ndim == 1 else table[np.arange(options["channels"]), codes]
    return _finish(values, [None, None, multiplier, bias], {"output": "float32"})


def nearest(inputs, options):
    """SteNearest."""
    x, vectors = inputs
    assert vectors.shape == (options["vectors"], options["channels"])
    lengths = np.zeros(len(vectors), np.float32)
    products = np.zeros((*x.shape[:-1], len(vectors)), np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        for i in range(options["channels"]):
            lengths += vectors[:, i] * vectors[:, i]
            products += x[..., i, np.newaxis] * vectors[:, i]
        distances = lengths - 2 * products
    return np.argmin(np.where(distances < np.inf, distances, np.inf), axis=-1).astype(np.int32)


def concat(inputs, options):
    """SteConcat."""
    codes = codes_of("input", options)
    parts = [unpack_codes(x, options[f"channels_{i}"], *codes) for i, x in enumerate(inputs)]
    return pack_codes(code_of(np.concatenate(parts, axis=-1), *codes), codes[0])


def pad(inputs, options):
    """StePad."""
    codes = codes_of("input", options)
    around = [(options["pad_top"], options["pad_bottom"]), (options["pad_left"], options["pad_right"])]
    x = unpack_codes(inputs[0], options["channels"], *codes)
    x = np.pad(x, [(0, 0), *around, (0, 0)], constant_values=options["pad_value"])
    return pack_codes(code_of(x, *codes), codes[0])


def shuffle(inputs, options):
    """SteShuffle."""
    codes = codes_of("input", options)
    x = unpack_codes(inputs[0], options["channels"], *codes)
    shuffled = x.reshape(*x.shape[:-1], options["groups"], -1).swapaxes(-1, -2).reshape(x.shape)
    return pack_codes(code_of(shuffled, *codes), codes[0])


OPS = {
    "SteQuantize": quantize,
    "SteConv2D": conv2d,
    "SteDepthwiseConv2D": depthwise_conv2d,
    "SteFullyConnected": fully_connected,
    "SteMaxPool2D": max_pool2d,
    "SteAveragePool2D": average_pool2d,
    "SteAdd": add,
    "SteDequantize": dequantize,
    "SteNearest": nearest,
    "SteConcat": concat,
    "StePad": pad,
    "SteShuffle": shuffle,
}
