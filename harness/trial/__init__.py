"""One trial from its first step to its outcome, and what it says on the way."""
