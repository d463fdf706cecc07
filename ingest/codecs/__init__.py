"""Codecs: payload bytes to rows, a file each, found by name through ``zhiwei.registry``."""
