"""Tables as Parquet files, where pyarrow is installed."""

import importlib.util
import io

import pandas as pd


def is_available() -> bool:
    """Tell whether Parquet files can be written."""
    return importlib.util.find_spec("pyarrow") is not None


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    """Return a table as the content of a Parquet file; types and missing values as in the table.

    Raises
    ------
    ImportError
        pyarrow is not installed.
    """
    marked = frame.copy(deep=False)
    marked.attrs = {"written_by": "freewalk"}
    buffer = io.BytesIO()
    marked.to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()
