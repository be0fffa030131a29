"""What a network sees of an image: size, crop, colour, normalisation."""
