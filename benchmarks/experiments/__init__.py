"""What was tried and measured for docs/experiments.md; not benchmarks."""
