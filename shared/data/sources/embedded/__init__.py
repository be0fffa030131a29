"""The data set that ships in the package; PROVENANCE.md says where it comes from."""
