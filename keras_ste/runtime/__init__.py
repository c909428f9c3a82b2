"""Running converted models on this machine."""

from keras_ste.runtime.native import library_path, load_delegate

__all__ = ["library_path", "load_delegate"]
