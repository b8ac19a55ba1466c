"""The parts of the documentation that follow from the catalogue, the archives and other files."""
