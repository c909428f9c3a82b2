"""Making a converted model one of integers: int8 between its ops, and at its ends if asked."""

from keras_ste.converter.integer.quantize import make_integer

__all__ = ["make_integer"]
