"""Finding the settings with which a method learns a task, and what finding them costs."""
