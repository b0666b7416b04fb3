"""How to check each kind of case. A file of this folder registers itself with `@handles`."""
