"""The suite cpu: every implementation of the step on the processor, each in a process of its own."""
