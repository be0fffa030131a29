"""Folders of images: parts and classes, image files, links out of the folder."""
