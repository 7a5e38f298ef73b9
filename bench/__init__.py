"""Benchmarks: what the performance budget promises, each as a ratio to a reference in the same run."""
