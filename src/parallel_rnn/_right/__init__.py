"""When states are right."""
