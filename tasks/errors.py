"""What is wrong with data."""


class DataError(ValueError):
    """Data that cannot be learned from; the message names them, so that nobody need say which cell wanted them."""


class UnreachableTargets(UserWarning):
    """Targets lie where no output does, so that no network can meet them."""
