"""What is solved: recurrences, models and their training."""
