"""How it is run: command line, grid, plan, methods, engine."""
