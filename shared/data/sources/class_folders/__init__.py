"""What lies in a folder of images: parts and classes, image files, links out of it."""
