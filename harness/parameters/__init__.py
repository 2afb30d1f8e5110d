"""What a cell may set: parameters, their values, lists of seeds, presets."""
