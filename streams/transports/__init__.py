"""Faust transports of ours, found by the scheme of the broker's URL (entry points ``faust.transports``)."""
