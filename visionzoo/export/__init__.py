"""Export of models to files that run without the project's configs: ONNX, and programs of ``torch.export``."""
