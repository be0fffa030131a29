"""Habits: where a run may follow its own framework instead of the rule that both share."""
