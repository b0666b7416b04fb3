"""Configuration parsing. The only package that uses gin."""
