"""Two workers of `planner serve` under a mixed load for an hour, say: whether anything grows, fails or is lost."""
