"""Statistics: intervals, tests, and the number of images or seeds that a verdict needs."""
