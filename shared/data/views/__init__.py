"""The view of an image that a network gets: size, crop, colour, normalisation."""
