"""When a trial ends, and what to call its end."""
