"""Analysis of timing samples: rates, ratios, warnings and the report."""
