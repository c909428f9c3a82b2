"""What every test runs with: a quiet TensorFlow, and hypothesis without time limits."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import hypothesis

# The first example compiles or traces; a deadline would measure that.
hypothesis.settings.register_profile(
    "keras_ste",
    deadline=None,
    max_examples=25,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("keras_ste")
