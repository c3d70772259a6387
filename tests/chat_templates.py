"""Chat templates written for tests, each after the manner of a well-known family, with the tokenizer they go with."""

import tokenizers
from tiny_models import byte_tokenizer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role + '\n' + m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
INST = (  # the system within the first turn of the user, spaces around the response, and no words for its beginning
    "{% set told = messages[0].role == 'system' %}"
    "{% set turns = messages[1:] if told else messages %}{% for m in turns %}"
    "{% if m.role == 'user' %}{{ bos_token + '[INST] ' }}"
    "{% if told and loop.first %}{{ '<<SYS>>' + messages[0].content + '<</SYS>> ' }}{% endif %}"
    "{{ m.content + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}"
)
TURNS = (  # no system, and another name of the assistant
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    "{% for m in messages %}<turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>model\n{% endif %}"
)
STRIPPED = CHATML.replace("m.content", "m.content | trim")
HEADED = (  # the bos in the template, and a header of special tokens
    "{{ bos_token }}{% for m in messages %}<|h|>{{ m.role }}<|/h|>\n\n{{ m.content }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<|h|>assistant<|/h|>\n\n{% endif %}"
)
THOUGHT = CHATML.replace(  # words before a response that the beginning of the model's turn has not
    "{{ m.role", "{% set thought = '<think></think>\n' if loop.last and m.role == 'assistant' else '' %}{{ m.role"
).replace("m.content }}", "thought + m.content }}")
FAMILIES = {  # the template, special tokens, what ends a turn, and whether the tokenizer begins a text with a bos
    "chatml": (CHATML, ["<|im_start|>", "<|im_end|>"], "<|im_end|>", False),
    "inst": (INST, [], "<|endoftext|>", True),
    "turns": (TURNS, ["<turn>", "<end>"], "<end>", True),
    "stripped": (STRIPPED, ["<|im_start|>", "<|im_end|>"], "<|im_end|>", False),
    "thought": (THOUGHT, ["<|im_start|>", "<|im_end|>"], "<|im_end|>", False),
    "headed": (HEADED, ["<|h|>", "<|/h|>", "<end>"], "<end>", True),
}


def family_tokenizer(name):
    """Return the tokenizer of bytes of a family, with its template, and the id of the token that ends a turn."""
    template, special, end, begins = FAMILIES[name]
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"extra_special_tokens": special, **({"bos_token": "<s>"} if begins else {})})
    if begins:
        bos = [("<s>", tokenizer.bos_token_id)]
        put = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=bos)
        tokenizer.backend_tokenizer.post_processor = put
    tokenizer.chat_template = template
    return tokenizer, tokenizer.convert_tokens_to_ids(end)
