"""Inference beside its peers: the parts of `benchmarks.inference`."""
