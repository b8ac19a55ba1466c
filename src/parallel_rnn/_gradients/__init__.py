"""Derivatives of the solution."""
