"""Numbers only: arrays in, arrays out. Imports no other room."""
