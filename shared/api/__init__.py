"""The Python API: what `import poc` offers in a notebook, over the code of the commands."""
