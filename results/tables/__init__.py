"""Tables of documented types: read, selected, given to pandas."""
