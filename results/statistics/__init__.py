"""Statistics of samples of trials: pure functions, with intervals that hold for few trials."""
