"""What modalnb costs, beside its peers, measured in the same run; `python -m benchmarks`."""
