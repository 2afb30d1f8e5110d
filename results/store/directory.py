"""The folder of a sweep: made ready, and refused where it holds something else."""

from pathlib import Path
from typing import Final

from freewalk.results.base.errors import StoreError
from freewalk.results.store.database import DATABASE_NAME, is_new

OUTPUT_NAMES: Final = ("trials.csv", "curves.csv", "summary.csv", "environment.json", "sweep.toml")


def prepare(directory: Path) -> None:
    """Make the folder, and refuse one that holds a sweep's outputs but no database that could resume them.

    Raises
    ------
    StoreError
        The folder cannot be made, or a sweep would overwrite what it holds.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreError(f"{directory} is, or lies below, a file: pick another --out") from error
    except OSError as error:
        raise StoreError(f"cannot create {directory}: {error.strerror}; pick another --out") from error
    if is_new(directory / DATABASE_NAME):
        for name in OUTPUT_NAMES:
            if (directory / name).exists():
                raise StoreError(f"{directory} holds {name} but no {DATABASE_NAME}: pick another --out")
