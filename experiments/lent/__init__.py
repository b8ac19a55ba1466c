"""A machine that one has for minutes: what to carry there, and in what order to run it."""
