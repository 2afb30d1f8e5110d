"""What is to run: configuration, grid, budget, and the plan that they make."""
