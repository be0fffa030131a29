"""Sources, splits and batches; no framework is imported here."""
