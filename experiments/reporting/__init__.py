"""From results to readers: tables, claims, the report, archives."""
