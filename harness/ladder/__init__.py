"""The ladder: a method is tried on ever harder things, and the first failure says what to look at."""
