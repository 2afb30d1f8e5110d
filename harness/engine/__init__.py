"""How trials run on this machine: which together, on which threads, and how long that will take."""
