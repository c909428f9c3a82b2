"""int8 between ops: where training rounds to it, or everywhere and at the ends of the model if asked."""

from keras_ste.converter.integer.move_codes import move_codes
from keras_ste.converter.integer.quantize import make_integer

__all__ = ["make_integer", "move_codes"]
