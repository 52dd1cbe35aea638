#!/usr/bin/env python3
from visionzoo.cli.train import main

raise SystemExit(main())
