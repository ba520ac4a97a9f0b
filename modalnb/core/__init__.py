"""The pure core: events in, instructions out; no clock, no I/O, no Dask, no logging."""
