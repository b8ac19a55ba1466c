"""The report: the numbers in its text, and its PDF."""
