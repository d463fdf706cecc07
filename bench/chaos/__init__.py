"""The kill campaign: faults by a seed over the distributed bed on real servers, and what they cost."""
