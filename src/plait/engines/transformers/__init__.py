"""transformers: any causal language model of Hugging Face's library, in this process.

    spec        what `--engine hf:...` says (needs neither PyTorch nor transformers)
    loading     a folder or a name -> model, tokenizer and what is known of them; what is refused
    memory      keys and values of every block
    attention   attention over the blocks, behind transformers' attention interface
    sampler     logits to tokens
    forward     the forward step of a batch (`plait.engines.batching`)
    chat        how a question is put to the model
    engine      the engine

Needs the extra: pip install 'plait[transformers]'.
"""
