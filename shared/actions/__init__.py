"""What a command does: starts workers, writes files for the user."""
