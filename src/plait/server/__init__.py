"""The gateway: plait behind the OpenAI API, what it remembers, and how it is watched."""
