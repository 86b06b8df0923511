"""What the authority did, in an append-only log whose lines are chained; and the commands that verify it."""
