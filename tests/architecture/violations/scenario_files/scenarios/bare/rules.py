# ruff: noqa
"""Planted:"""
