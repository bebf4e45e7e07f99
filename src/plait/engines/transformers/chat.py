"""How a question is put to a model by the chat template of its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jinja2

from plait.core import Message
from plait.core.reading import THINK
from plait.engines.openai.wire import messages_json
from plait.errors import EngineRefused


class Chat:
    """The chat template of ``tokenizer``, if it has one."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.has_template = tokenizer.chat_template is not None

    def render(self, messages: Sequence[Message]) -> str:
        """``messages`` as text, up to where the model is to answer. Raises `EngineRefused`."""
        if not self.has_template:
            raise EngineRefused("the model has no chat template",
                                hint="Give it a prompt as text or token ids.")
        try:
            text = self._tokenizer.apply_chat_template(
                messages_json(messages), tokenize=False, add_generation_prompt=True)
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            said = str(error).splitlines()[:1] or [type(error).__name__]
            raise EngineRefused(f"the model's chat template refuses these messages ({said[0]})"
                                ) from error
        return str(text)

    def opens_thoughts(self) -> bool:
        """Does the template open the model's thoughts by itself?"""
        try:
            return self.render((Message("user", "?"),)).rstrip().endswith(THINK)
        except EngineRefused:
            return False
