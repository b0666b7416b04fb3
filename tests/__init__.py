"""The tests; a package so that `tests.parity` can be run as a module."""
