"""The works, a module each; see :class:`benchmarks.work.Work`."""
