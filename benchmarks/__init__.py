"""Comparisons under pytest-benchmark: the walk beside other libraries, and beside what no step can do without."""
