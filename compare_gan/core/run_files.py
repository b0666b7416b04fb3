"""Names of the files and folders in a run folder and in a study folder.

Code that reads or writes them takes the names from here; docs/architecture.md shows the layout.
"""

# A run folder: one trained GAN or encoder.
ABOUT = "run.json"  # data, seed and versions
NOTE = "origin.json"  # the provenance record
CONFIG = "operative_config.gin"
CHECKPOINTS = "checkpoints"  # a folder for each step
METRICS_LOG = "metrics.jsonl"
INCIDENTS = "incidents.jsonl"
PROFILE = "profile"  # a folder
SAMPLES, INTERPOLATIONS = "samples", "interpolations"  # an image grid for each step
TRAINING_LABELS = "labels.npz"  # labels that were computed in Python
DONE = "TRAIN_DONE"  # empty; written after the last step
SCORES = "scores.csv"
TRUNCATION, TRUNCATION_FIGURE = "truncation.json", "truncation.svg"  # scores over the truncation threshold
EXPORT = "export"  # a folder
EXPORT_METADATA = "export.json"  # in it

# A study folder.
SETTINGS = "settings.json"
SUMMARY, RESULTS_TABLE, REPORT = "summary.json", "results.csv", "report.html"
REAL_GRID = "real/real.png"  # held-out images
LEAK_CHECK = "leak-check"  # scratch folder of --verify_no_leak

# Computed before GANs are trained, for each seed, or for each seed and label budget.
PRETRAINED, FEATURES = "pretrained.npz", "features.npz"
KEPT, CLASSIFIER, PREDICTIONS = "labels-kept.npz", "classifier.npz", "predictions.npz"
LABELS, SOFT_LABELS = "labels-train.npz", "labels-soft.npz"
NOISY = "labels-noisy.npz"  # true labels with the errors of the inferred ones, for a control
PRETRAIN_RUN, CLASSIFY_RUN = "pretrain", "classify"  # run folders of the encoder and the classifier
CLUSTERS = "clusters"  # a folder with files of the names above

# Measurements for people to read; no training uses them.
QUALITY, PROBE = "label_quality.json", "probe.json"
UNCERTAIN_GRID = "least_certain/images.png"  # images whose inferred label is least certain
RESULT = "result.json"  # scores of a GAN
NEIGHBOUR_SHEET = "neighbours/sheet.png"  # generated images beside the nearest training images
SECONDS = "seconds.json"  # duration of each kind of work

GRID_LAYOUT = "grid.json"  # next to an image grid: rows, columns, tile size
