"""Benchmarks: `pytest benchmarks` prints tables, `python -m benchmarks.operators.report` writes a report."""
