"""The command line: runs the entrypoints and functions of a file."""
