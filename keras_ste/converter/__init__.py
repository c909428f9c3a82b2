"""From a Keras model to a `.tflite` file: trace, passes, verification, report."""

from keras_ste.converter.convert import ConvertedModel, convert
from keras_ste.converter.errors import CheckError, NotPackedError, VerificationError

__all__ = ["CheckError", "ConvertedModel", "NotPackedError", "VerificationError", "convert"]
