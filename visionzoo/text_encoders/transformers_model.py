"""Text encoders of the library transformers (extra ``text``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from visionzoo.allowed import Count
from visionzoo.converters import tensors_of
from visionzoo.errors import CheckpointError, ConfigError, MissingExtra
from visionzoo.layers.variants import variant_options
from visionzoo.registry import MODELS
from visionzoo.text_encoders.bert_files import BertSource, missing, require_same_settings
from visionzoo.text_encoders.bert_layers import BERT_VARIANTS
from visionzoo.text_encoders.bert_names import renamed
from visionzoo.text_encoders.phrases import Padding, PhraseEncoder, Tokenizer
from visionzoo.tokenizers.word_pieces import TokenIds, WordPieceTokenizer, fingerprint_of


class HFTokenizer:
    """Tokenizer of transformers in a local folder, with the interface of ``WordPieceTokenizer``.

    Args:
        folder: folder with the files of the tokenizer.
        max_tokens: largest number of tokens.

    Raises:
        CheckpointError: transformers cannot read the tokenizer.
    """

    def __init__(self, folder: Path, max_tokens: int):
        with _explained(folder, "a tokenizer"):
            self.inner = transformers().AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        self.max_tokens, self.pad_id = max_tokens, int(self.inner.pad_token_id or 0)
        self.fingerprint = fingerprint_of(self.inner.get_vocab())

    def __call__(self, phrase: str) -> TokenIds:
        ids = list(self.inner(phrase)["input_ids"])
        return TokenIds(ids[: self.max_tokens], len(ids))


@MODELS.register_module()
class HFTextEncoder(PhraseEncoder):
    """Last hidden states of a model of transformers: BERT, or any text model in a local folder, such as RoBERTa.

    The constructor sets random weights and uses no network; ``init_weights`` reads ``weights`` without running code.

    Args:
        variant: a variant of :class:`~visionzoo.text_encoders.bert.BertTextEncoder`. None: the model that the files of
            ``weights`` describe; ``base`` without weights, or if the files are not on this machine yet.
        weights: a local folder, ``minilm``, or a name on the hub, as for ``BertTextEncoder``.
        online: let ``init_weights`` download a BERT by its name on the hub. Other models must be in the hub's local
            cache (``hf download NAME``), because the constructor reads their ``config.json``.
        max_tokens: largest number of tokens of a phrase, with those that the tokenizer adds.
        out_channels, padding: see :class:`~visionzoo.text_encoders.phrases.PhraseEncoder`.

    Raises:
        MissingExtra: transformers is not installed.
        UnknownName: an unknown variant.
        ConfigError: ``max_tokens`` exceeds the positions of the model.
        CheckpointError: the files cannot be read by transformers, or in ``init_weights``: are missing or do not fit.

    Example:
        >>> try:
        ...     shape = tuple(HFTextEncoder("tiny")(["the left box"]).states.shape)
        ... except MissingExtra:
        ...     shape = (1, 5, 32)
        >>> shape
        (1, 5, 32)
    """

    VARIANTS: dict[str, dict[str, int]] = BERT_VARIANTS

    NOT_RELEASED = ("projection.",)

    def __init__(
        self,
        variant: str | None = None,
        *,
        weights: str | None = None,
        online: bool = False,
        max_tokens: Count = 20,
        out_channels: Count | None = None,
        padding: Padding = "longest",
    ):
        transformers()
        source = None if weights is None else BertSource(weights, online)
        known = variant or (weights if weights in self.VARIANTS else None)
        folder = None if source is None or known is not None else source.folder()
        if folder is None and known is None and source is not None and not online:
            raise missing(source.weights)
        settings = None if folder is not None else _settings(known or "base")
        tokenizer: Tokenizer
        tokenizer = WordPieceTokenizer(None, max_tokens) if folder is None else HFTokenizer(folder, max_tokens)
        config = _bert_config(settings) if settings is not None else _read_config(folder)
        positions = getattr(config, "max_position_embeddings", max_tokens)
        if max_tokens > positions:
            raise ConfigError(
                "HFTextEncoder.max_tokens", expected=f"at most {positions}", found=f"{max_tokens}", advice="use fewer"
            )
        super().__init__(
            tokenizer,
            config.hidden_size,
            out_channels=out_channels,
            padding=padding,
            init_cfg=None if weights is None else dict(type="visionzoo.ReleasedPart"),
        )
        self.source, self.settings = source, settings
        self.model = _built(config)

    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the last hidden states, (B, L, width)."""
        return self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state

    def released_file(self) -> tuple[Path, str | None]:
        """Return the file of ``weights`` and its expected sha256, or None; ``init_weights`` calls this.

        Raises:
            CheckpointError: the file is missing, or belongs to another architecture.
        """
        if self.source is None:
            raise ConfigError("HFTextEncoder.weights", expected="a folder or a name", found="None")
        path, sha256 = self.source.weights_file()
        if self.settings is not None:
            require_same_settings(path.parent, self.settings)
        return path, sha256

    def convert(self, checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
        """Convert the tensors of a released file: remove the prefix of the model, the pooler and other heads."""
        own, prefix = self.model.state_dict(), f"{self.model.base_model_prefix}."
        state = {renamed(name.removeprefix(prefix)): value for name, value in tensors_of(checkpoint).items()}
        return {f"model.{name}": value for name, value in state.items() if name in own}


def transformers() -> Any:
    """Return the library transformers.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return import_module("transformers")
    except ImportError as error:
        raise MissingExtra("transformers", "text", where="HFTextEncoder") from error


def _settings(variant: str) -> dict[str, int]:
    return {"positions": 512} | variant_options(BERT_VARIANTS, variant, {}, "HFTextEncoder")


def _bert_config(settings: Mapping[str, int]) -> Any:
    return transformers().BertConfig(
        hidden_size=settings["width"],
        num_hidden_layers=settings["depth"],
        num_attention_heads=settings["heads"],
        intermediate_size=settings["ffn"],
        max_position_embeddings=settings["positions"],
    )


def _read_config(folder: Path | None) -> Any:
    with _explained(folder, "the config of a model"):
        return transformers().AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)


def _built(config: Any) -> Any:
    """Build a model without its pooler, whose parameters would have no gradient."""
    build = transformers().AutoModel.from_config
    try:
        return build(config, add_pooling_layer=False)
    except TypeError:  # models without a pooler have no such argument
        return build(config)


@contextmanager
def _explained(folder: Path | None, expected: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # transformers raises many classes for files that it cannot read
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        advice = "give a folder that transformers can load, with config.json and the files of the tokenizer"
        raise CheckpointError(folder, expected=expected, but=f"cannot read it ({reason})", advice=advice) from error
