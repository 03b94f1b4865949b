"""TensorFlow's notes about the machine are kept out of the tests' output."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
