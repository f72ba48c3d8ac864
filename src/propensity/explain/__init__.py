"""Exact contributions, and reasons in words."""
