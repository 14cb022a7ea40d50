"""Stores that are kept by a service: keys and bytes, no folders, no renames; see docs/adr/0047."""
