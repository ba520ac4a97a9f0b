"""The web gateway: a process that turns HTTP requests into inputs of web functions."""
