"""Run folders to one self-contained page."""
