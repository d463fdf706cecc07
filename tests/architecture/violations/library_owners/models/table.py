# ruff: noqa
"""Planted: no database in a detector."""

from sqlalchemy import select  # wrong
import psycopg  # wrong
