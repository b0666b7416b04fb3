"""Measurements of speed. Nothing here is a test; each prints ratios taken in one run."""
