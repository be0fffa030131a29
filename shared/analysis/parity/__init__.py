"""The parity ladder: rungs on which two backends are compared."""
