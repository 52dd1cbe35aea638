"""Text encoders: from the phrases of a batch to the states of their tokens.

All modules in this folder are registered automatically. :mod:`visionzoo.text_encoders.phrases` describes the interface.
"""
