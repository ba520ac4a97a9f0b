"""What must hold of a ledger after every event; tests call it, the product does not."""

from __future__ import annotations

from modalnb.core.ledger import Ledger


def validate(ledger: Ledger) -> None:
    """Raise AssertionError if the ledger contradicts itself."""
    for pool in ledger.pools.values():
        calls = [call for call in ledger.calls.values() if call.pool is pool]
        assert pool.waiting == sum(call.waiting for call in calls)
