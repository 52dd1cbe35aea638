"""Flags, exit codes and error output that all commands share.

Results go to files and stdout. Progress, notes and errors go to stderr.
"""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from visionzoo.errors import ConfigError, OutputError, ZooError, as_utf8, nearest_name
from visionzoo.option_names import shell_options
from visionzoo.system.atomic import cannot_write
from visionzoo.system.library_warnings import without_library_warnings
from visionzoo.system.locks import NAME as LOCK

INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that keeps the layout of its examples and prints an error as one line."""

    def __init__(self, command: str, description: str, examples: str):
        super().__init__(
            prog=f"visionzoo {command}",
            description=description,
            epilog=f"examples:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.add_argument("--traceback", action="store_true", help="show the full Python traceback of an error")

    def error(self, message: str) -> None:  # type: ignore[override]
        nearest = self._nearest_option(message)
        advice = f"did you mean {nearest}?" if nearest else f"`{self.prog} --help` lists the options"
        print(f"error: {self.prog}: {message}; {advice}", file=sys.stderr)
        raise SystemExit(2)

    def _nearest_option(self, message: str) -> str | None:
        """Return the option that is most similar to an unknown one in an error of argparse."""
        _, unknown, words = message.partition("unrecognized arguments: ")
        options = [word.partition("=")[0] for word in words.split() if word.startswith("--")] if unknown else []
        return nearest_name(options[0], self._option_string_actions) if options else None


class FirstLook(Parser):
    """A parser that only reads the arguments that name a model. The parser of the command reports mistakes."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise ConfigError(message)

    def seen(self, argv: Sequence[str]) -> argparse.Namespace:
        """Return the values of these arguments.

        Raises:
            ConfigError: an argument is wrong or absent.
        """
        return self.parse_known_args([word for word in argv if word not in ("-h", "--help")])[0]


def add_config_flags(parser: argparse.ArgumentParser) -> None:
    """Add ``--tiny``, ``--cfg-options`` and ``--allow-new``, which change a config."""
    parser.add_argument(
        "--tiny", action="store_true", help="use the tiny variant, with data drawn on demand (default: off)"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH=VALUE",
        help="change values of the config, e.g. model.backbone.depth=101 (applied last; default: none)",
    )
    parser.add_argument("--allow-new", action="store_true", help="let --cfg-options add keys (default: an error)")


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """Add ``--allow-outside``."""
    parser.add_argument(
        "--allow-outside",
        action="store_true",
        help="let annotations name files outside data_root (default: an error)",
    )


def add_offline_flag(parser: argparse.ArgumentParser) -> None:
    """Add ``--offline``, which takes effect as soon as it is parsed."""
    suppressed = argparse.SUPPRESS
    parser.add_argument(
        "--offline",
        action=_GoOffline,
        nargs=0,
        dest=suppressed,
        default=suppressed,
        help="never use the network (default: off)",
    )


class _GoOffline(argparse.Action):
    """Disable the network for this process and those that it starts."""

    def __call__(self, *args: object, **options: object) -> None:
        os.environ["VISIONZOO_OFFLINE"] = "1"


def add_output_flags(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--work-dir`` (``-o``, ``--out``) and ``--overwrite``."""
    parser.add_argument("--work-dir", "-o", "--out", dest="work_dir", default=None, help=f"default: {default}")
    parser.add_argument(
        "--overwrite", action="store_true", help="write into a folder that is not empty (default: use NAME-2)"
    )


def add_summary_flags(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet`` and ``--json`` for commands that write files."""
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress and no notes (default: off)")
    parser.add_argument("--json", action="store_true", help="machine-readable summary on stdout (default: off)")


def add_run_flags(parser: argparse.ArgumentParser, *, seed: str | None = None) -> None:
    """Add the flags for device, seed, sample limit and verbosity.

    Args:
        parser: changed in place.
        seed: the source of the default seed, for the help text. None means a default seed of 0.
    """
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    parser.add_argument(
        "--seed", type=int, default=None if seed else 0, help=f"seed of every random number (default: {seed or 0})"
    )
    parser.add_argument("--max-samples", type=int, default=None, help="use only the first N samples (default: all)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress and no notes (default: off)")
    parser.add_argument("-v", "--verbose", action="store_true", help="debug messages (default: off)")
    parser.add_argument(
        "--no-progress", action="store_true", help="plain lines instead of a bar (default: a bar on a terminal)"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable result on stdout (default: off)")


def choose_output_dir(wanted: Path, *, overwrite: bool = False) -> Path:
    """Create an output folder and return it.

    Args:
        wanted: the folder. If it is not empty, the first empty or new one of ``wanted-2``, ``wanted-3``, ... is used.
        overwrite: use ``wanted`` even if it is not empty.

    Raises:
        OutputError: the path is a file, or the folder cannot be created or written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for _ in range(2):
        ...         out = choose_output_dir(Path(folder, "run"))
        ...         _ = (out / "report.md").write_text("done")
        ...         print(out.name)
        run
        run-2
    """
    folder, number = wanted, 1
    while folder.is_dir() and any(path.name != LOCK for path in folder.iterdir()) and not overwrite:
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError(
            folder, expected="a folder to write into", found="a file", advice="choose another place"
        ) from error
    except OSError as error:
        raise OutputError(
            folder, expected="a folder that can be made", but=f"{error.strerror}", advice="choose another"
        ) from error
    if not os.access(folder, os.W_OK):
        raise OutputError(
            folder, expected="a folder that may be written", but="it is read-only", advice="choose another"
        )
    return folder


def run_command(
    parser: argparse.ArgumentParser, body: Callable[[argparse.Namespace], int], argv: Sequence[str] | None
) -> int:
    """Parse ``argv``, run ``body`` and return the exit code.

    A :class:`ZooError`, an interruption and a failure to write are printed as one line. Any other exception passes
    through.
    """
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:  # argparse exits like this after --help and after an error
        return int(stop.code or 0)
    try:
        with shell_options(), without_library_warnings():
            return body(args)
    except ZooError as error:
        return report(error, args.traceback)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has closed it, as in `| head`
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno not in _OUTPUT_ERRNOS:
            raise
        refused = cannot_write(error.filename or "output", error)
        refused.__cause__ = error
        return report(refused, args.traceback)


# Errors of the operating system that are reported as a place that cannot be written.
_OUTPUT_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES}


Verbs = Mapping[str, tuple[Callable[[], argparse.ArgumentParser], Callable[[argparse.Namespace], int]]]


def run_verb(command: str, noun: str, verbs: Verbs, usage: str, argv: Sequence[str] | None) -> int:
    """Run one verb of a command, ``visionzoo COMMAND VERB ...``, and return the exit code.

    Args:
        command: ``config``, ``cards``, ...
        noun: the word for a verb in the message ``no NOUN is called ...``.
        verbs: by name, the function that makes the parser and the function that runs the verb.
        usage: printed if no verb is given.
        argv: the words after the command; None for those of the process.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help"):
        print(usage)
        return 0 if args else 2
    name, *rest = args
    if name not in verbs:
        nearest = nearest_name(name, verbs)
        answer = f"did you mean {nearest}?" if nearest else f"choose one of {', '.join(verbs)}"
        print(f"error: visionzoo {command}: no {noun} is called {name!r}; {answer}", file=sys.stderr)
        return 2
    make_parser, body = verbs[name]
    return run_command(make_parser(), body, rest)


def report(error: ZooError, with_traceback: bool) -> int:
    """Print an error to stderr and return its exit code."""
    if with_traceback:
        traceback.print_exception(error)
    print(f"error: {error}", file=sys.stderr)
    return error.exit_code


@contextmanager
def readers_on_stderr(*, quiet: bool) -> Iterator[None]:
    """Print the notes of readers, which mmengine prints on stdout, on stderr; print none if ``quiet`` is set.

    The lines have no date and no name of a logger.
    """
    from mmengine.logging import MMLogger

    target = io.StringIO() if quiet else sys.stderr
    with redirect_stdout(target):
        handlers = MMLogger.get_current_instance().handlers
        kept = {each: (each.stream, each.level) for each in handlers if type(each) is logging.StreamHandler}
        for handler in handlers:
            handler.setFormatter(logging.Formatter("warning: %(message)s"))
        for handler in kept:  # the logger of an earlier command has the stream and the level of that time
            handler.stream = target
            handler.setLevel(min(handler.level, logging.WARNING))
        try:
            yield
        finally:
            for handler, (stream, level) in kept.items():
                handler.stream = sys.__stdout__ if stream is target else stream
                handler.setLevel(level)


def say_loading(*, quiet: bool) -> None:
    """Print on a terminal that PyTorch is loaded, which takes seconds; print nothing if ``quiet`` is set."""
    note("loading PyTorch ...", quiet=quiet or not sys.stderr.isatty())


def note(message: str, *, quiet: bool = False) -> None:
    """Print one line to stderr, unless ``quiet`` is set."""
    if not quiet:
        print(as_utf8(message), file=sys.stderr, flush=True)
