"""The cluster room: starts and ends containers on a Dask cluster, as the autoscaler says."""
