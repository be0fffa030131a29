"""Convert, factorize and check weight files."""
