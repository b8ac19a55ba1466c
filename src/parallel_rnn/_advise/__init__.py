"""Which method pays for a recurrence: a search by measurement."""
