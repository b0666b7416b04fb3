"""From few labels to a label for every image."""
