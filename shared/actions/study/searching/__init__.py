"""Parts of the search of a study: forecasts of costs, sizes of FixRes, students."""
