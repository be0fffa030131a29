"""`poc study`: the search, the finals, the time limit and the page."""
