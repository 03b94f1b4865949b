"""What holds for all tests: TensorFlow has one thread, as results are compared to the bit, and others run beside."""

import os

#: Sums of three or more gradients add up in the order in which threads come, in Keras's `fit` too.
ONE_THREAD = {"TF_NUM_INTEROP_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}

os.environ.update(ONE_THREAD)
