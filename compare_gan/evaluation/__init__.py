"""Scores checkpoints, images and features."""
