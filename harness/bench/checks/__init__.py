"""Is the device right? Noise, steps, walks, batches of trials, repeatability and a sweep, against other backends."""
