"""The methods: one loop, and what each of them fills in."""
