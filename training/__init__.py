"""How plait-nano is made: data, model, trainer, export, evaluation; see docs/plait-nano.md."""
