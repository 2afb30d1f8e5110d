"""What `harness bench` runs: checks of a device against the reference, then timings beside other libraries."""
