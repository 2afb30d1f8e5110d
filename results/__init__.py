"""What happened: the schema of the tables, the store, outcomes, statistics and exports."""
