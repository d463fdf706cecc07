"""A simulated week of a district, through the rules, compared with what truly happened."""
