"""What takes the steps of a trial: the reference, gradient methods, the walk on any model."""
