"""Parts of the search of a study: its frameworks, sizes, students and forecasts."""
