"""Values on the move: how arguments, results, exceptions and functions become bytes and back."""
