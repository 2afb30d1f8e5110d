"""Results served to a browser on this machine while they come in."""
