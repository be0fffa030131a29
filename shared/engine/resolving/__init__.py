"""Every refusal of a run: before its data is opened, and after."""
