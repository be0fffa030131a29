"""How alike images look: perceptual hashes, and the search for near copies."""
