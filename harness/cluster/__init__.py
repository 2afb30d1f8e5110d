"""Sweeps on Dask workers: this machine's processes or other machines; needs the extra `cluster`."""
