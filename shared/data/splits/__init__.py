"""Parts for training, validation and test, and the search for leaks between them."""
