"""The matrix: every backbone with every neck and head, in small variants: built, trained one step, and predicted."""
