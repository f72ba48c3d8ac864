"""Ranking quality beside peers; see `python -m benchmarks.quality --help`."""
