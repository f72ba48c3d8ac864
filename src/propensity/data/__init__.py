"""Tables: sources, roles, checks, and the one door to dated rows."""
