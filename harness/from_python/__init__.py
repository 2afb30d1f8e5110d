"""`freewalk.sweep`, `freewalk.tune` and what they return."""
