"""The report of a sweep: its answers, tables and plots in one HTML file."""
