"""The one exception of this room."""


class StoreError(Exception):
    """Results that cannot be read or written: one line naming the culprit and the remedy."""
