"""The images behind the figures of a report: those that networks got most wrong."""
