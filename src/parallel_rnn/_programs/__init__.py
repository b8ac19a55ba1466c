"""Functions as the programs that JAX makes of them: what they hold, and what can be read off."""
