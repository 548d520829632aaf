"""`minimoe generate`."""

import argparse
import json

from minimoe.cli.shared import MODEL, MODEL_HELP, bytes_of, say
from minimoe.config.checks import check_integer

HELP = "write text with a trained model"
EXAMPLE = '--prompt "The "'


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=MODEL, metavar="NAME", help=f"{MODEL_HELP} ({MODEL})")
    parser.add_argument("--prompt", default="\n", help="the text before")
    parser.add_argument("--tokens", type=int, default=200, help="bytes to write (200)")
    parser.add_argument("--temperature", type=float, default=0.8, help="0 = most likely (0.8)")
    parser.add_argument("--top-k", type=int, help="sample from the k most likely bytes")
    parser.add_argument("--top-p", type=float, help="sample from the likeliest share p")
    parser.add_argument("--seed", type=int, default=0, help="(0)")


def run(options: argparse.Namespace) -> None:
    """Print the prompt and its continuation."""
    import torch

    from minimoe.data.text import decode
    from minimoe.model.generation import generate
    from minimoe.trained.models import named_model

    check_integer("seed", options.seed, 0, 2**63 - 1)  # what a torch generator takes
    model, length = named_model(options.model)
    prompt = list(bytes_of(options.prompt))
    if len(prompt) + options.tokens > length:
        say(f"beyond {length} bytes the text degrades: the model was trained on {length} at most")
    tokens = generate(
        model,
        torch.tensor(prompt, dtype=torch.int64),
        options.tokens,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
    )
    written = list(tokens)
    print(json.dumps({"text": decode(written)}) if options.json else decode([*prompt, *written]))
