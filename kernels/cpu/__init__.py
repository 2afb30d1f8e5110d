"""CPU kernels: sixteen datapoints at a time in the lanes of a vector, many such groups over the threads."""
