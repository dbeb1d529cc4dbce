"""Benchmarks: `pytest benchmarks` prints tables, `python -m benchmarks.report` writes results and charts."""
