"""What trains: the methods, those of plug-ins, and a cell made concrete."""
