"""Programs to run and to read: ``python -m modalnb.examples.digits``."""
