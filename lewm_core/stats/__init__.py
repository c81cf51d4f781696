"""Paired tests, power, scaling, verdicts and claims. Imports no torch."""
