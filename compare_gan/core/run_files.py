"""Names of the files and folders in a run folder and in a study folder.

Whatever writes or reads one takes its name from here; docs/architecture.md shows how they are arranged.
"""

# A run folder: one GAN or encoder that was trained.
ABOUT = "run.json"  # what it was trained on
CONFIG = "operative_config.gin"
CHECKPOINTS = "checkpoints"  # a folder for each step
METRICS_LOG = "metrics.jsonl"
SAMPLES, INTERPOLATIONS = "samples", "interpolations"  # an image grid for each step
DONE = "TRAIN_DONE"  # empty; written after the last step
SCORES = "scores.csv"
EXPORT = "export"  # a folder

# A study folder.
SETTINGS = "settings.json"
SUMMARY, RESULTS_TABLE, REPORT = "summary.json", "results.csv", "report.html"
REAL_GRID = "real/real.png"  # held-out images
LEAK_CHECK = "leak-check"  # scratch folder of --verify_no_leak

# What is computed before GANs are trained, for each seed, or for each seed and label budget.
PRETRAINED, FEATURES = "pretrained.npz", "features.npz"
KEPT, CLASSIFIER, PREDICTIONS = "labels-kept.npz", "classifier.npz", "predictions.npz"
LABELS, SOFT_LABELS = "labels-train.npz", "labels-soft.npz"
PRETRAIN_RUN, CLASSIFY_RUN = "pretrain", "classify"  # run folders of the encoder and the classifier
CLUSTERS = "clusters"  # a folder with files of the names above

# What is measured, for people to read; nothing learns from it.
QUALITY, PROBE = "label_quality.json", "probe.json"
UNCERTAIN_GRID = "least_certain/images.png"  # images whose inferred label is least certain
RESULT = "result.json"  # scores of a GAN
SECONDS = "seconds.json"  # how long each kind of work took

GRID_LAYOUT = "grid.json"  # beside an image grid: rows, columns, tile size
