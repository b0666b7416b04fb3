"""Where configurations are read. The only folder that knows gin."""
