"""Did it help? Suites, graders, the runner, paired statistics, the report."""

from plait.evals.values import Arm, Mark, Record, Sample, Score, Suite, Task

__all__ = ["Arm", "Mark", "Record", "Sample", "Score", "Suite", "Task"]
