"""What samples of time show."""
