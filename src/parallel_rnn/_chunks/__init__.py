"""Chunks of a sequence that advance side by side."""
