"""The recurrence that is solved: f on flat states, and what stands for its Jacobian."""
