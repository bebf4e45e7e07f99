"""Live experiments: two policies on real traffic, split or in the shadow."""

from plait.server.experiments.live import Assignment, Experiments, recall
from plait.server.experiments.report import lines, report
from plait.server.experiments.settings import ExperimentSettings, read_experiments

__all__ = ["Assignment", "ExperimentSettings", "Experiments", "lines", "read_experiments",
           "recall", "report"]
