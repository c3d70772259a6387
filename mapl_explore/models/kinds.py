"""What a model and its tokenizer are to a reader and to a type checker."""

from typing import TYPE_CHECKING, Any, TypeAlias

import torch

if TYPE_CHECKING:
    import transformers

    Model: TypeAlias = transformers.PreTrainedModel
    Tokenizer: TypeAlias = transformers.PreTrainedTokenizerBase
else:
    # Loading the classes of transformers takes 3.5 s, which what refuses an argument need not wait for.
    Model, Tokenizer = torch.nn.Module, Any
