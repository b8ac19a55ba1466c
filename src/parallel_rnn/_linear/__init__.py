"""Linear recurrences, and the matrices they are made of."""
