"""Fixed point: so many bits before the binary point and so many behind it."""

from __future__ import annotations

from typing import Any

from keras_ste.quantizers.base import register
from keras_ste.quantizers.uniform import UniformQuantizer


@register
class FixedPoint(UniformQuantizer):
    """Fixed-point numbers of m integer bits and f fraction bits, beside the sign.

        q(x) = 2^-f · clip(round(2^f x), -2^(m+f), 2^(m+f) - 1)
        dL/dx = dL/dq · d · 1[-2^m <= x <= 2^m - 2^-f]

    and for unsigned numbers the lower bounds are 0. That is the format Qm.f, and what a device with
    integers and shifts computes in. M. Courbariaux, Y. Bengio, J.-P. David, *Training deep neural
    networks with low precision multiplications*, arXiv:1412.7024; with `rounding="stochastic"`,
    S. Gupta et al., *Deep Learning with Limited Numerical Precision*, arXiv:1502.02551.

    Args:
        integer_bits: m; may be negative, where the leading bits of the fraction are zeros as well.
        fraction_bits: f; may be negative. There are 1 to 15 bits in all, the sign not counted.
        signed: whether there is a sign, which is one bit more.
        narrow_range: leaves out the most negative number.
        rounding, surrogate, seed: as in `UniformQuantizer`.
        name: by default `"fixed_point"`.

    Raises:
        ValueError: an argument out of its range.
        TypeError: when called, an input that is not floating point.

    >>> FixedPoint(integer_bits=2, fraction_bits=1)([-9.0, 0.7, 1.3, 9.0]).numpy().tolist()
    [-4.0, 0.5, 1.5, 3.5]
    """

    def __init__(
        self,
        integer_bits: int = 0,
        fraction_bits: int = 7,
        signed: bool = True,
        narrow_range: bool = False,
        rounding: str = "nearest",
        surrogate: Any = "identity",
        seed: int | None = None,
        name: str | None = None,
    ):
        for argument, bits in (("integer_bits", integer_bits), ("fraction_bits", fraction_bits)):
            if int(bits) != bits or not -24 <= bits <= 24:
                raise ValueError(
                    f"FixedPoint's {argument} must be an integer from -24 to 24. "
                    f"Received: {argument}={bits!r}."
                )
        self.integer_bits = int(integer_bits)
        self.fraction_bits = int(fraction_bits)
        super().__init__(
            bits=self.integer_bits + self.fraction_bits + bool(signed),
            scale=2.0**-self.fraction_bits,
            signed=signed,
            narrow_range=narrow_range,
            rounding=rounding,
            surrogate=surrogate,
            seed=seed,
            name=name,
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for argument in ("bits", "scale", "scale_axis", "power_of_two", "percentile"):
            del config[argument]
        own = {"integer_bits": self.integer_bits, "fraction_bits": self.fraction_bits}
        return {**own, **config}
