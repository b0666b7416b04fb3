"""Reports: a study folder as one self-contained HTML page."""
