"""Shared foundations that every other package may import; depends on no other package of this library."""
