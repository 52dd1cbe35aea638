#!/usr/bin/env python3
from visionzoo.cli.register import main

if __name__ == "__main__":  # workers import this file
    raise SystemExit(main())
