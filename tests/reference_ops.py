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


def codes_of(options, name):
    """Bits and encoding of the codes `name`, one bipolar bit where nothing is said."""
    return options.get(f"{name}_bits", 1), options.get(f"{name}_encoding", "bipolar")


def worth(numbers, bits, encoding):
    """What codes are worth whose bits, as unsigned numbers, are these."""
    if encoding == "bipolar":
        return 2 * numbers - (2**bits - 1)
    if encoding == "unsigned":
        return numbers
    return np.where(numbers >= 2 ** (bits - 1), numbers - 2**bits, numbers)


def unpack_numbers(words, channels, bits):
    """int32 `[..., bits * ceil(channels / 32)]` to int64 `[..., channels]`: the bits of each code, as an unsigned number."""
    planes = words.reshape(*words.shape[:-1], bits, -(-channels // 32))
    return sum((unpack(planes[..., p, :], channels) + 1) // 2 << p for p in range(bits))


def unpack_codes(words, channels, codes):
    """The same, to what the codes are worth."""
    return worth(unpack_numbers(words, channels, codes[0]), *codes)


def code_of(values, bits, encoding):
    """The codes, as unsigned numbers, that are worth so much."""
    return (values + 2**bits - 1) // 2 if encoding == "bipolar" else values % 2**bits


def pack_numbers(numbers, bits):
    """int `[..., C]` of codes, of whose bits the lowest count, to int32 `[..., bits * ceil(C / 32)]`."""
    return np.concatenate([pack(numbers >> p & 1 == 1) for p in range(bits)], axis=-1)


def quantize(inputs, options):
    """SteQuantize."""
    if options["version"] == 2:
        return _finish(_numbers(inputs[0], "input", options).astype(np.float32), [None, None, *inputs[1:]], options)
    (x,) = inputs
    assert x.shape[-1] == options["channels"] and (options["bits"], options["encoding"]) == (1, "bipolar")
    return pack(x >= 0)


def _same_padding(size, kernel, stride, dilation):
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def _windows(x, kernel, stride, dilation, padding, fill):
    """Yields (row, column, values of that place of every window), axes of x: N, H, W, C."""
    if padding == "causal":
        x = np.pad(x, [(0, 0), *[((kernel[i] - 1) * dilation[i], 0) for i in range(2)], (0, 0)], constant_values=fill)
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


def _requantized(sums, multiplier, shifts, options):
    """As TFLite rounds since it rounds once: halves up."""
    right = 31 - shifts.astype(np.int64)
    product = sums.astype(object) * multiplier.astype(object)  # integers without end
    rounded = (product + (1 << (right - 1).astype(object))) >> right.astype(object)
    low, high = np.iinfo(options["output"]).min, np.iinfo(options["output"]).max
    low, high = options.get("output_min", low), options.get("output_max", high)
    moved = rounded + options.get("output_zero_point", 0)
    return np.clip(moved, low, high).astype(options["output"])


def _rounded(sums, multiplier, bias, options):
    """Sums that are floats as integers: scaled, rounded half to even and clipped; 0 of a NaN."""
    packed = options["output"] == "packed"
    bits, encoding = codes_of(options, "output") if packed else (8 * np.dtype(options["output"]).itemsize, "signed")
    low, high = {"signed": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1), "ternary": (-1, 1)}.get(encoding, (0, 2**bits - 1))
    low, high = options.get("output_min", low), options.get("output_max", high)
    with np.errstate(invalid="ignore", over="ignore"):
        y = sums * (np.float32(1) if multiplier is None else multiplier) + (np.float32(0) if bias is None else bias)
    moved = np.clip(np.rint(y.astype(np.float64)) + options.get("output_zero_point", 0), low, high)
    codes = np.where(np.isnan(y), 0, moved).astype(np.int64)
    return pack_numbers(codes, bits) if packed else codes.astype(options["output"])


def _finish(sums, inputs, options, scales=None):
    """What the sums become. `scales` are those of rows quantized at run time."""
    if "tail" in options:
        return _finish_with_tail(sums, inputs, options, scales)
    multiplier, bias, thresholds = (list(inputs[2:]) + [None] * 3)[:3]
    if sums.dtype == np.float32 and thresholds is None and options["output"] != "float32":
        return _rounded(sums, multiplier, bias, options)
    if options["output"] == "packed":
        assert multiplier is None and bias is None
        assert thresholds.dtype == (np.float32 if sums.dtype == np.float32 else np.int32)
        bits, encoding = codes_of(options, "output")
        thresholds = thresholds.reshape(2**bits - 1, -1)
        reached = np.sum([sums >= t for t in thresholds], axis=0)
        return pack_numbers(reached - (2 ** (bits - 1) if encoding in ("signed", "ternary") else 0), bits)
    if options["output"] == "int32":
        assert multiplier is None and bias is None and thresholds is None
        return sums.astype(np.int32)
    if options["output"] != "float32":
        return _requantized(sums + (0 if bias is None else bias), multiplier, thresholds, options)
    assert thresholds is None
    y = sums.astype(np.float32)
    if scales is not None and multiplier is not None and multiplier.size == 1:
        y = y * (multiplier * scales)
    else:
        y = y * (np.float32(1) if multiplier is None else multiplier)
        y = y * (np.float32(1) if scales is None else scales)
    y = y + (np.float32(0) if bias is None else bias)
    low = np.float32(options.get("activation_min", -np.inf))
    return np.minimum(np.maximum(y, low), np.float32(options.get("activation_max", np.inf)))


STEPS = {
    "add": np.add,
    "multiply": np.multiply,
    "maximum": lambda y, c: np.where(y < c, c, y),
    "minimum": lambda y, c: np.where(y > c, c, y),
    "prelu": lambda y, c: np.where(y > 0, y, y * c),
}


def _finish_with_tail(sums, inputs, options, scales=None):
    """The output, and where the tail stores floats these too."""
    multiplier, bias, thresholds, constants, residual, residual_scale = (list(inputs[2:]) + [None] * 6)[:6]
    clamp = {key: options[key] for key in ("activation_min", "activation_max") if key in options}
    with np.errstate(invalid="ignore", over="ignore"):
        y = _finish(sums, [None, None, multiplier, bias], {"output": "float32"} | clamp, scales)
        rows, stored = iter([] if constants is None else constants), None
        for step in options["tail"].split(" "):
            if step == "store":
                stored = y
            elif step == "residual":
                r = _numbers(residual, "residual", options | {"channels": y.shape[-1]}).astype(np.float32)
                y = y + (r if residual_scale is None else r * residual_scale)
            else:
                y = STEPS[step](y, next(rows))
    if options["output"] != "float32":
        y = _finish(y, [None, None, None, None, thresholds], {k: v for k, v in options.items() if k != "tail"})
    return y if stored is None else (y, stored)


def _numbers(x, name, options):
    """An input of floats, bytes or packed codes: float32, or int64 less the zero point."""
    if x.dtype == np.float32:
        return x
    zero_point = options.get(f"{name}_zero_point", 0)
    if x.dtype == np.int32:
        return unpack_codes(x, options["channels"], codes_of(options, name)) - zero_point
    return x.astype(np.int64) - zero_point


def _filter_rows(filters, shape, codes):
    """The worths of rows of codes, along the last axis of the shape: INT32 in words, UINT8 without gaps."""
    if filters.dtype == np.int32:
        return unpack_codes(filters.reshape(*shape[:-1], -1), shape[-1], codes)
    bits, count = np.unpackbits(filters, bitorder="little"), codes[0] * int(np.prod(shape))
    assert filters.shape == (-(-count // 8),) and not bits[count:].any()
    planes = bits[:count].reshape(*shape[:-1], codes[0], shape[-1]).astype(np.int64)
    return worth(sum(planes[..., p, :] << p for p in range(codes[0])), *codes)


def pack_gapless(numbers, bits):
    """int `[..., C]` of codes to bytes without gaps: of each row plane after plane, each bit behind the one before."""
    rows = numbers.reshape(-1, numbers.shape[-1])
    planes = [(row >> plane & 1).astype(bool) for row in rows for plane in range(bits)]
    return np.packbits(np.concatenate(planes), bitorder="little")


def _conv_weights(filters, packed, options):
    """`[O, kh, kw, C / groups]` of what the weights are worth."""
    codes = codes_of(options, "weight")
    o, kh, kw = options["filters"], options["kernel_h"], options["kernel_w"]
    groups = options["groups"]
    channels = options["channels"] // groups
    if not packed:
        return _filter_rows(filters, (o, kh * kw * channels), codes).reshape(o, kh, kw, channels)
    if filters.dtype == np.uint8:
        return _filter_rows(filters, (o, kh, kw, channels), codes)
    assert filters.shape[:3] == (o, kh, kw)
    words = filters.shape[3] // codes[0]
    numbers = unpack_numbers(filters, 32 * words, codes[0])
    weights = np.zeros((o, kh, kw, channels), np.int64)
    for output in range(o):
        bit = output // (o // groups) * channels % 32
        weights[output] = worth(numbers[output, :, :, bit : bit + channels], *codes)
    return weights


def conv2d(inputs, options):
    """SteConv2D."""
    x = _numbers(inputs[0], "input", options)
    assert x.shape[-1] == options["channels"]
    weights = _conv_weights(inputs[1], inputs[0].dtype == np.int32, options)
    geometry = [[options[f"{what}_{axis}"] for axis in "hw"] for what in ("kernel", "stride", "dilation")]
    windows = _windows(x, *geometry, options["padding"], options["pad_value"])
    return _finish(_sums(x, weights, options["groups"], windows), inputs, options)


def depthwise_conv2d(inputs, options):
    """SteDepthwiseConv2D."""
    times = options["depth_multiplier"]
    x = np.repeat(_numbers(inputs[0], "input", options), times, axis=-1)
    assert x.shape[-1] == options["channels"] * times
    shape = (options["kernel_h"], options["kernel_w"], x.shape[-1])
    weights = _filter_rows(inputs[1], shape, codes_of(options, "weight")).astype(x.dtype)
    geometry = [[options[f"{what}_{axis}"] for axis in "hw"] for what in ("kernel", "stride", "dilation")]
    sums = x.dtype.type(0)
    for row, column, values in _windows(x, *geometry, options["padding"], options["pad_value"]):
        with np.errstate(invalid="ignore", over="ignore"):
            sums = sums + values * weights[row, column]
    return _finish(sums, inputs, options)


def _quantized_rows(x, options):
    """Codes by the largest absolute value of each row, and what 1 stands for."""
    limit = np.float32(2 ** (options["row_bits"] - 1) - 1)
    largest = np.maximum(np.max(np.abs(x), axis=-1, keepdims=True), np.float32(options.get("row_epsilon", 1e-5)))
    return np.rint(x * (limit / largest)).astype(np.int64), largest * (np.float32(1) / limit)


def fully_connected(inputs, options):
    """SteFullyConnected."""
    x, units = inputs[0], options["units"]
    axes, pixels, channels = options.get("input_axes", 1), options.get("pixels", 1), options["channels"]
    lead, row = x.shape[:-axes], x.shape[-axes:]
    assert int(np.prod(row[:-1])) == pixels
    codes = codes_of(options, "weight")
    if x.dtype == np.int32:
        weights = _filter_rows(inputs[1], (units, pixels, channels), codes)
    else:
        weights = _filter_rows(inputs[1], (units, pixels * channels), codes)
    x, scales = _numbers(x, "input", options), None
    if "row_bits" in options:
        x, scales = _quantized_rows(x.reshape(*lead, -1), options)
    x = x.reshape(-1, 1, 1, pixels * channels)
    sums = _sums(x, weights.reshape(units, 1, 1, -1), 1, [(0, 0, x)])
    return _finish(sums.reshape(*lead, units), inputs, options, scales)


def transpose_conv2d(inputs, options):
    """SteTransposeConv2D: every input is multiplied by the whole kernel, and what falls on one output added up."""
    x = _numbers(inputs[0], "input", options)
    codes, filters = codes_of(options, "weight"), options["filters"]
    weights = _filter_rows(inputs[1], (filters, options["kernel_h"], options["kernel_w"], options["channels"]), codes)
    kernel, stride = ([options[f"{what}_{axis}"] for axis in "hw"] for what in ("kernel", "stride"))
    size = [(x.shape[1 + i] - 1) * stride[i] + kernel[i] for i in range(2)]
    sums = np.zeros((x.shape[0], *size, filters), x.dtype)
    # In this order every output adds up its products in the order of the input's places.
    for row in reversed(range(kernel[0])):
        for column in reversed(range(kernel[1])):
            places = sums[:, row : row + size[0] - kernel[0] + 1 : stride[0]]
            places = places[:, :, column : column + size[1] - kernel[1] + 1 : stride[1]]
            for channel in range(options["channels"]):
                places += x[..., channel, np.newaxis] * weights[:, row, column, channel].astype(x.dtype)
    extra = [options.get(f"extra_{axis}", 0) for axis in "hw"]
    first, end = [0, 0], [size[i] + extra[i] for i in range(2)]
    if options["padding"] == "same":
        first = [max(kernel[i] - stride[i] - extra[i], 0) // 2 for i in range(2)]
        end = [first[i] + x.shape[1 + i] * stride[i] + extra[i] for i in range(2)]
    # Behind the last place that an input adds to stand zeros.
    more = [(0, max(end[i] - size[i], 0)) for i in range(2)]
    sums = np.pad(sums, [(0, 0), *more, (0, 0)])[:, first[0] : end[0], first[1] : end[1]]
    return _finish(sums, inputs, options)


def max_pool2d(inputs, options):
    """SteMaxPool2D."""
    channels = options["channels"]
    minimum = inputs[1] if len(inputs) > 1 else None
    sign = np.ones(channels, np.int64) if minimum is None else -unpack(minimum, channels)
    codes = codes_of(options, "input")
    x = unpack_codes(inputs[0], channels, codes) * sign
    geometry = [[options[f"{what}_{axis}"] for axis in "hw"] for what in ("pool", "stride")]
    windows = _windows(x, *geometry, (1, 1), options["padding"], -256)
    return pack_numbers(code_of(np.max([values for _, _, values in windows], axis=0) * sign, *codes), codes[0])


def average_pool2d(inputs, options):
    """SteAveragePool2D."""
    x = _numbers(inputs[0], "input", options)
    geometry = [[options[f"{what}_{axis}"] for axis in "hw"] for what in ("pool", "stride")]
    # One after the other, as floats are added up.
    sums, places = (
        sum((values for _, _, values in _windows(each, *geometry, (1, 1), options["padding"], 0)), x.dtype.type(0))
        for each in (x, np.ones_like(x))
    )
    if options["output"] == "int32":
        return sums.astype(np.int32)
    return _finish(sums.astype(np.float32) / places.astype(np.float32), [None, None, *inputs[1:]], options)


def add(inputs, options):
    """SteAdd."""
    a, b, scale_a, scale_b = (list(inputs) + [None] * 2)[:4]
    a, b = _numbers(a, "a", options).astype(np.float32), _numbers(b, "b", options).astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        a = a if scale_a is None else a * scale_a
        b = b if scale_b is None else b * scale_b
        return _finish(a + b, [None, None, *inputs[4:]], options)


def dequantize(inputs, options):
    """SteDequantize."""
    x, table, multiplier, bias = (list(inputs) + [None] * 3)[:4]
    values = _numbers(x, "input", options)
    if table is None:
        values = values.astype(np.float32)
    else:
        codes = code_of(values, *codes_of(options, "input"))
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


def gather(inputs, options):
    """SteGather."""
    indices, table = inputs
    codes = codes_of(options, "input")
    rows = _filter_rows(table, (options["rows"], options["channels"]), codes)
    return pack_numbers(code_of(rows[indices], *codes), codes[0])


def concat(inputs, options):
    """SteConcat."""
    codes = codes_of(options, "input")
    parts = [unpack_codes(x, options[f"channels_{i}"], codes) for i, x in enumerate(inputs)]
    return pack_numbers(code_of(np.concatenate(parts, axis=-1), *codes), codes[0])


def pad(inputs, options):
    """StePad."""
    codes = codes_of(options, "input")
    around = [(options["pad_top"], options["pad_bottom"]), (options["pad_left"], options["pad_right"])]
    x = unpack_codes(inputs[0], options["channels"], codes)
    x = np.pad(x, [(0, 0), *around, (0, 0)], constant_values=options["pad_value"])
    return pack_numbers(code_of(x, *codes), codes[0])


def shuffle(inputs, options):
    """SteShuffle."""
    codes = codes_of(options, "input")
    x = unpack_codes(inputs[0], options["channels"], codes)
    shuffled = x.reshape(*x.shape[:-1], options["groups"], -1).swapaxes(-1, -2).reshape(x.shape)
    return pack_numbers(code_of(shuffled, *codes), codes[0])


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
    "SteGather": gather,
    "SteConcat": concat,
    "StePad": pad,
    "SteShuffle": shuffle,
    "SteTransposeConv2D": transpose_conv2d,
}
