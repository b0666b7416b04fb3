"""Models and checkpoints of the original compare_gan (TensorFlow 1), read without TensorFlow."""
