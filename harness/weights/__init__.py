"""Weights on disk, what a network answers, and how good that is."""
