"""The contract: columns of the tables, layout of the store, what is recorded."""
