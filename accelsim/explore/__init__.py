"""Sweeps, search, Pareto fronts, and the machines that share their work."""
