"""The input that makes an output largest, smallest, or equal to a value."""
