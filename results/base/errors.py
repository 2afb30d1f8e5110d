"""The exceptions of this room."""


class StoreError(Exception):
    """Results that cannot be read or written: one line naming the culprit and the remedy."""


class DamageError(ValueError):
    """Stored values that nobody wrote; what reads a file turns it into a ``StoreError`` that names the file."""


class UnreadColumns(UserWarning):
    """A table has columns that nothing is read from."""
