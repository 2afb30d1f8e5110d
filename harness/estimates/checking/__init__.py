"""What is wrong with an estimator that users write themselves: probe losses, what is seen of it, and faults by name."""
