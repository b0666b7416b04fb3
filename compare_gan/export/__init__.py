"""Exports a trained GAN as a folder of programs and weights, usable without the run and this library.

`loader`, `folder` and `sampler` read such a folder with JAX alone; `programs`, `card` and `write` write it.
"""
