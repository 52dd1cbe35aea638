"""Damaged files of every format: each is read with the right numbers, or refused with one sentence."""
