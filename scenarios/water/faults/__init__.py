"""Instrument or water? One probe fault a file; each raises ``water.sensor_fault`` and ends it."""
