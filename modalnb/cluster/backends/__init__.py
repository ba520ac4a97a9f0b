"""The ways in which containers come to be: forked here, started by a Dask cluster, or leased."""
