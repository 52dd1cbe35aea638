#!/usr/bin/env python3
from visionzoo.cli import run

if __name__ == "__main__":  # workers import this file
    run("matrix")
