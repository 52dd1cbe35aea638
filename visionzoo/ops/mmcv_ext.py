"""Placeholder until the finder lands."""


def install() -> None:
    return None
