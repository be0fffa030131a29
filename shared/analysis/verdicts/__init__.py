"""What runs show, in words."""
