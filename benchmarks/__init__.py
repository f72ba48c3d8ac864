"""Measured, not believed: each module prints the figures that README and docs quote."""
