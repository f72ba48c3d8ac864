"""Features as of each cutoff: profile, behaviour and purchases, in one matrix."""
