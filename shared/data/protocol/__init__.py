"""How a study divides its images: the parts, how precise they are, and what is refused."""
