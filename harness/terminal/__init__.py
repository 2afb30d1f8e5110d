"""What a person sees: progress, tables and comparisons on the terminal."""
