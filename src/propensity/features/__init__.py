"""Features: what was known of a customer as of a cutoff."""
