"""A stand-in for a user's package."""
