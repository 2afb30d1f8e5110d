"""How good an estimate of a gradient is: measured, beside theory, and what is wrong with one."""
