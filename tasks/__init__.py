"""What is to be learned: data as a function of (seed, step, datapoint), a metric and a target."""
