"""The API: what users write, in Modal's words."""
