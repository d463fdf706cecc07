"""Telemetry of the embedded bed: frames become Parquet segments, and questions about them are answered.

``recorder`` reads the log and writes segments, ``history`` reads segments and the log's end. DuckDB, always
in memory, is the library for both; no other folder uses it.
"""
