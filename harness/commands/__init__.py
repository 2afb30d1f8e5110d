"""The commands of `harness`, one a file, each with a click command named `command`."""
