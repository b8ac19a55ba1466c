"""What claims and findings are measured by, one module a subject."""
