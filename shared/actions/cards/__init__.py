"""Model cards of trained runs, and packages that hold a network with its card."""
