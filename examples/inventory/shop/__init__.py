"""Stock keeping for a corner shop."""
