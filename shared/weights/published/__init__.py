"""Names of the tensors of each architecture in published weight files.

They only rename: `schemes` defines a scheme, one module per family has its names, and `table` lists
them by model. Layouts follow from the scheme's framework (`weights.conversion`).
"""
