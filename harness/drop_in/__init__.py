"""The original program's class: its configuration, its iterator protocol and what its author left open."""
