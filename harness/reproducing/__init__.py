"""Published results as data: what they are, how they are run, and what a run comes to."""
