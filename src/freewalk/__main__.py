"""`python -m freewalk` is `harness`: it needs no installation, only this package on the path."""

from freewalk.harness.cli import main

main()
