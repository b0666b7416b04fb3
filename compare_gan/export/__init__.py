"""Exports a trained GAN as a folder of programs and weights, usable without the run and this library.

`loader`, `folder` and `sampler` read such a folder with JAX alone; `programs`, `card` and `write` write it.
`onnx_model` converts the generator to an ONNX file, and `page` makes a page of that.
"""
