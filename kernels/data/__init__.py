"""How a task's datapoints reach the kernels."""
