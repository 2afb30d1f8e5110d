"""Gradient checks: analytic against numerical, weight by weight, and what is wrong with a gradient that misses."""
