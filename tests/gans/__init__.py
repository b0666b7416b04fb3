"""Tests of the GANs and of the training step."""
