#!/usr/bin/env python3
"""fuzz/pack.py DIR SEED: makes a seed of checkpoint_fuzz from a model's directory with one model.safetensors."""
import pathlib
import sys

directory, seed = map(pathlib.Path, sys.argv[1:])


def content(name):
    file = directory / name
    return file.read_bytes() if file.exists() else b""


weights = content("model.safetensors")
header_end = 8 + int.from_bytes(weights[:8], "little")
pieces = [content("config.json"), content("hf_quant_config.json"), b"", weights[8:header_end], weights[header_end:]]
seed.write_bytes(b"\n====\n".join(pieces))
