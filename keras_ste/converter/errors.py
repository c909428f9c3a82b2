"""What goes wrong in a conversion though nothing was used wrongly: a check that the caller asked for fails."""

from __future__ import annotations


class CheckError(ValueError):
    """A check of a converted model failed. The model could be converted, but not as it was asked for."""


class NotPackedError(CheckError):
    """`convert(strict=True)`: a layer that was quantized in training would stay in float."""


class VerificationError(CheckError):
    """`convert(verify=...)`: the file computes something else than the Keras model.

    Attributes:
      verification: every comparison that was made.
    """

    def __init__(self, verification):
        super().__init__(verification.complaint())
        self.verification = verification
