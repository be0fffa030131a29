"""What is told while something works."""
