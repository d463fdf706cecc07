"""Doubles and checks that obey the same contracts as the real parts; for our tests and for plug-ins."""
