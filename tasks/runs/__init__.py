"""A run from request to summary."""
