"""The machine underneath: compiling, its cache, vector lanes, threads, the clock."""
