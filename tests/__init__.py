"""The tests; a package, so that none of that name which is installed is found in its place."""
