"""openvino: GGUF files and OpenVINO IR folders in this process, by OpenVINO GenAI (an extra).

    gguf        what the head of a GGUF file says (pure)
    pipeline    the only file that knows OpenVINO: opening a model, settings, its errors
    vocabulary  text to tokens and back
    batch       the requests that advance together, step by step
    engine      the engine in front of it
"""

from plait.engines.openvino.engine import OpenVINOEngine

__all__ = ["OpenVINOEngine"]
