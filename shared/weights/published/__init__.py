"""Published weight files: how the tensors of each architecture are named in them.

Pure renaming: `schemes` says what a scheme is, one module a family holds its names, `table` lists
them by model. Layouts follow from the scheme's framework (`engine.conversion`).
"""
