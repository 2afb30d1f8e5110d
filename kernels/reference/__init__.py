"""The networks in NumPy float64, written as the formulas read: the judge of every fast kernel."""
