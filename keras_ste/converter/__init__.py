"""From a Keras model to a `.tflite` file: trace, passes, report."""

from keras_ste.converter.convert import ConvertedModel, convert

__all__ = ["ConvertedModel", "convert"]
