"""A trained GAN as a folder of programs and weights that needs neither the run nor this library.

`loader`, `folder` and `sampler` read such a folder, with JAX alone; `programs`, `card` and `write` make one.
"""
