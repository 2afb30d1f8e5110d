"""`python -m freewalk` is the command `freewalk`: it needs no installation, only this package on the path."""

from freewalk.harness.cli import main

main()
