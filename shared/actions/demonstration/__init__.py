"""`poc demo`: a local page that answers a photo."""
