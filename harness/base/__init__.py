"""What every room of the harness uses: errors, numbers as text, archives, the environment, interrupts, streams."""
