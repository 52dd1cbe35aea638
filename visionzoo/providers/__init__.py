"""Providers of object proposals for heads that choose among objects: other models of the zoo."""
