"""Two methods against each other, user by user: differences, intervals, significance."""
