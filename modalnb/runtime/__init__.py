"""The runtime: what turns a Dask worker process into a container that runs user code."""
