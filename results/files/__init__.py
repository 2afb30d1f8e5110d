"""Files for others, sweeps to read from, and several sweeps as one."""
