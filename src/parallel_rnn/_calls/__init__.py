"""The functions that users call, and what can be wrong with a call."""
