"""The engine for every server that speaks OpenAI's HTTP API: vLLM, SGLang, llama.cpp, others."""

from plait.engines.openai.engine import OpenAIEngine

__all__ = ["OpenAIEngine"]
