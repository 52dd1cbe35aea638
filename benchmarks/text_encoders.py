"""BERT and its tokenizer against transformers: CPU time on one thread.

    python benchmarks/text_encoders.py               # one minute; needs transformers (pip install "visionzoo[text]")

Both sides have the same random weights, of the sizes of BERT base and of MiniLM, and receive the same ids. States and
ids are first checked to be equal. Then both run in turns in one process. Times are medians of the rounds, in
milliseconds of CPU time. The tokenizer of transformers is the one in Rust, and that in Python where it still exists.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
import transformers
from timing import Row, record, time_in_turns

from visionzoo.text_encoders.bert import BertTextEncoder
from visionzoo.tokenizers.word_pieces import BERT_VOCABULARY, WordPieceTokenizer

PHRASES = [
    f"{size} {colour} {thing} {place}"
    for size in ("the large", "a very small")
    for colour in ("red", "light blue", "black and white", "yellowish")
    for thing in ("umbrella", "skateboarder")
    for place in ("on the left", "closest to the camera, partly cut off")
]
GOAL = 1.05
VARIANTS, BATCHES, TOLERANCE = ("base", "minilm"), (1, 32), 1e-4


def main(argv: Sequence[str] | None = None) -> int:
    """Print one line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each case (default: 5)")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS, help="sizes (default: both)")
    args = parser.parse_args(argv)
    rounds = args.rounds
    torch.set_num_threads(1)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, {len(PHRASES)} phrases")
    compare_tokenizers(rounds)
    for variant in args.variants:
        compare_encoders(variant, rounds)
    return 0


def compare_tokenizers(rounds: int) -> None:
    """Time the tokenizers on all phrases."""
    names = [name for name in ("BertTokenizerFast", "BertTokenizer") if hasattr(transformers, name)]
    tokenizers = {name: getattr(transformers, name)(str(BERT_VOCABULARY)) for name in names}
    ours = WordPieceTokenizer()
    for name, tokenizer in tokenizers.items():
        if any(tokenizer(phrase)["input_ids"][:20] != ours(phrase).ids for phrase in PHRASES):
            raise SystemExit(f"{name}: the ids differ")
    runs = {name: lambda each=each: [each(phrase) for phrase in PHRASES] for name, each in tokenizers.items()}
    report(
        "tokenizer",
        time_in_turns({"visionzoo": lambda: [ours(phrase) for phrase in PHRASES], **runs}, rounds),
        "same ids",
    )


def compare_encoders(variant: str, rounds: int) -> None:
    """Time both encoders of one size on batches of different sizes."""
    ours = BertTextEncoder(variant).eval()
    sizes = ours.settings
    theirs = transformers.BertModel(
        transformers.BertConfig(
            hidden_size=sizes["width"],
            num_hidden_layers=sizes["depth"],
            num_attention_heads=sizes["heads"],
            intermediate_size=sizes["ffn"],
        ),
        add_pooling_layer=False,
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    with torch.inference_mode():
        for batch in BATCHES:
            ids, mask = ours.tokenize(PHRASES[:batch])
            words = mask.long()

            def run_theirs(ids: torch.Tensor = ids, words: torch.Tensor = words) -> torch.Tensor:
                return theirs(input_ids=ids, attention_mask=words).last_hidden_state

            def run_ours(ids: torch.Tensor = ids, mask: torch.Tensor = mask) -> torch.Tensor:
                return ours.encode(ids, mask)

            error = (run_ours() - run_theirs())[mask].abs().max().item()
            if error > TOLERANCE:
                raise SystemExit(f"{variant}, batch {batch}: states differ by {error:.2g}")
            times = time_in_turns({"visionzoo": run_ours, "transformers": run_theirs}, rounds)
            report(f"BERT {variant}, batch {batch}, {ids.shape[1]} tokens", times, f"{TOLERANCE:g} (found {error:.1g})")


def report(case: str, times: dict[str, float], equal: str) -> None:
    """Print the times of one case, and how many times as fast ours is as each other."""
    own = times["visionzoo"]
    others = (
        f"{name} {1e3 * value:.1f} ms ({value / own:.2f}x)" for name, value in times.items() if name != "visionzoo"
    )
    for name, value in times.items():
        if name != "visionzoo":
            theirs = name if name == "transformers" else f"{name} of transformers"
            record(Row(case, theirs, own, value, equal, GOAL))
    print(f"{case}: visionzoo {1e3 * own:.1f} ms, {', '.join(others)}")


if __name__ == "__main__":
    raise SystemExit(main())
