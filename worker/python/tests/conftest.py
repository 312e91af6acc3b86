"""The fixtures of all tests."""

from support import database_url, place

__all__ = ["database_url", "place"]
