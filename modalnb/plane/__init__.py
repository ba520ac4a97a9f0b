"""The plane: the shell around the core on the Dask scheduler, and the callers' end of it."""
