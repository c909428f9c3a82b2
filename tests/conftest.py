"""What every test runs with: a quiet TensorFlow, seeds, and hypothesis without time limits."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import hypothesis
import native_build
import pytest

# The first example compiles or traces; a deadline would measure that.
hypothesis.settings.register_profile(
    "keras_ste",
    deadline=None,
    # The gate tries the same examples every time, so that what fails is the change; elsewhere new ones are tried.
    derandomize="CI" in os.environ,
    max_examples=25,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("keras_ste")


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """The folder of the native tests as they are built for users."""
    return native_build.build(tmp_path_factory.mktemp("plain"), ["kernel_test", "op_fuzz", "thread_test"])


@pytest.fixture(autouse=True)
def seeded():
    """Keras's initializers start alike in every test."""
    import keras

    keras.utils.set_random_seed(0)
