"""An evaluation by inspect-ai: python evaluate.py BASE_URL KEY MODEL LOG_FOLDER

Run by the interpreter of ``.live/clients``. Prints one JSON object.
"""

import json
import os
import sys

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

base_url, key, model, folder = sys.argv[1:]
os.environ |= {"GATEWAY_BASE_URL": base_url, "GATEWAY_API_KEY": key}
task = Task(dataset=[Sample(input="What is six times seven?", target="42"),
                     Sample(input="What is six times eight?", target="48")],
            solver=generate(), scorer=includes())
log = eval(task, model=f"openai-api/gateway/{model}", log_dir=folder, display="none")[0]
usage = next(iter(log.stats.model_usage.values()))
print(json.dumps({"status": log.status, "samples": len(log.samples or []),
                  "accuracy": log.results.scores[0].metrics["accuracy"].value,
                  "output_tokens": usage.output_tokens}))
