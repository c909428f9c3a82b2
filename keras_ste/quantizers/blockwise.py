"""Integers with a scale for every block of neighbours."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.quantizers.base import Quantizer, register
from keras_ste.quantizers.common import float_tensor
from keras_ste.quantizers.spec import QuantSpec
from keras_ste.quantizers.uniform import UniformQuantizer


@register
class BlockwiseQuantizer(Quantizer):
    """Symmetric uniform quantization with a scale for every `block_size` neighbours on an axis.

        q(x) = s_b · clip(round(x / s_b), l, h)        s_b = max |x| / h over block b
        dL/dx = dL/dq · d(x / s_b)

    with l, h and d as in `UniformQuantizer`. The finer the scales, the less a single large value takes
    from its neighbours: so are the weights of large language models stored. T. Dettmers et al.,
    *8-bit Optimizers via Block-wise Quantization*, arXiv:2110.02861; with `power_of_two`, scales as
    in the microscaling formats, B. D. Rouhani et al., *Microscaling Data Formats for Deep Learning*,
    arXiv:2310.10537 (there rounded down; here up, so that nothing is clipped).

    The last block of an axis may be shorter. `encode` returns the scales with one entry for a block on
    that axis. ±inf take the ends of the range; a NaN stays NaN, has the code 0, and makes NaN of its
    block.

    Args:
        bits: the width k: 2 to 16, or 1 to 15 for unsigned codes.
        block_size: how many values share a scale.
        axis: the axis the blocks are on, whose size is known: for a kernel -2, the inputs of an
            output channel; for activations -1.
        signed, narrow_range, power_of_two, rounding, surrogate, seed: as in `UniformQuantizer`.
        name: by default `"blockwise_quantizer"`.

    Raises:
        ValueError: an argument out of its range; and, when called, an axis the input lacks or whose
            size is not known.
        TypeError: when called, an input that is not floating point.

    >>> quantizer = BlockwiseQuantizer(bits=3, block_size=2, axis=-1)
    >>> quantizer([[32.0, -96.0, 0.5, 0.75]]).numpy().tolist()
    [[32.0, -96.0, 0.5, 0.75]]
    >>> codes, scales = quantizer.encode([[32.0, -96.0, 0.5, 0.75]])
    >>> codes.numpy().tolist(), scales.numpy().tolist()
    ([[1, -3, 2, 3]], [[32.0, 0.25]])
    """

    def __init__(
        self,
        bits: int = 4,
        block_size: int = 32,
        axis: int = -2,
        signed: bool = True,
        narrow_range: bool = False,
        power_of_two: bool = False,
        rounding: str = "nearest",
        surrogate: Any = "identity",
        seed: int | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if int(block_size) != block_size or block_size < 1:
            raise ValueError(
                f"BlockwiseQuantizer's block_size must be a positive integer. Received: {block_size!r}."
            )
        self.block_size = int(block_size)
        self.axis = axis
        # Every row is a block.
        self._rows = UniformQuantizer(
            bits=bits,
            scale="max_abs",
            scale_axis=0,
            signed=signed,
            narrow_range=narrow_range,
            power_of_two=power_of_two,
            rounding=rounding,
            surrogate=surrogate,
            seed=seed,
            name=self.name,
        )
        for argument in ("bits", "signed", "narrow_range", "power_of_two", "rounding", "surrogate", "seed"):
            setattr(self, argument, getattr(self._rows, argument))

    @property
    def spec(self) -> QuantSpec:
        encoding = "signed" if self.signed else "unsigned"
        return QuantSpec(self.bits, encoding, scale_axis=self.axis, dynamic_scale=True)

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor | None]:
        x = float_tensor(x)
        values, scale = self._rows.factors(self._to_rows(x), training=training)
        values = self._from_rows(values, x)
        return (values, None) if scale is None else (values, self._spread(self._by_block(scale, x), x))

    def __call__(self, x: Any, training: bool = False) -> tf.Tensor:
        x = float_tensor(x)
        return self._from_rows(self._rows(self._to_rows(x), training=training), x)

    def encode(self, x: Any) -> tuple[tf.Tensor, tf.Tensor]:
        x = float_tensor(x)
        codes, scale = self._rows.encode(self._to_rows(x))
        return self._from_rows(codes, x), self._by_block(scale, x)

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        codes, scale = codes
        codes = tf.convert_to_tensor(codes)
        return self._rows.decode((codes, self._spread(tf.convert_to_tensor(scale), codes)), dtype=dtype)

    def _last(self, x):
        """`x` with the axis of the blocks at the end, and that axis."""
        rank = x.shape.rank
        if not -rank <= self.axis < rank or x.shape[self.axis] is None:
            raise ValueError(
                f"BlockwiseQuantizer has axis={self.axis}, and needs inputs of a known size there. "
                f"They have the shape {x.shape}."
            )
        axis = self.axis % rank
        return _moved(x, axis, rank - 1), axis

    def _to_rows(self, x):
        x, _ = self._last(x)
        missing = -x.shape[-1] % self.block_size
        if missing:
            x = tf.pad(x, [[0, 0]] * (x.shape.rank - 1) + [[0, missing]])
        return tf.reshape(x, [-1, self.block_size])

    def _from_rows(self, rows, x):
        """Rows as values of the shape of `x`."""
        like, axis = self._last(x)
        size = like.shape[-1]
        leading = tf.shape(like)[:-1]
        padded = tf.reshape(rows, tf.concat([leading, [size + -size % self.block_size]], 0))
        values = _moved(padded[..., :size], like.shape.rank - 1, axis)
        values.set_shape(x.shape)
        return values

    def _by_block(self, scale, x):
        """The scales of the rows, one for each block on the axis."""
        like, axis = self._last(x)
        blocks = -(-like.shape[-1] // self.block_size)
        scale = tf.reshape(scale, tf.concat([tf.shape(like)[:-1], [blocks]], 0))
        return _moved(scale, like.shape.rank - 1, axis)

    def _spread(self, scale, x):
        """The scales of the blocks, one for each index on the axis."""
        _, axis = self._last(x)
        blocks = [min(self.block_size, x.shape[axis] - i) for i in range(0, x.shape[axis], self.block_size)]
        indices = [block for block, size in enumerate(blocks) for _ in range(size)]
        return tf.gather(scale, tf.constant(indices, tf.int32), axis=axis)

    def get_config(self) -> dict[str, Any]:
        config = self._rows.get_config()
        for argument in ("scale", "scale_axis", "percentile"):
            del config[argument]
        return {"block_size": self.block_size, "axis": self.axis, **config}


def _moved(x, source, target):
    if source == target:
        return x
    order = [axis for axis in range(x.shape.rank) if axis != source]
    order.insert(target, source)
    return tf.transpose(x, order)
