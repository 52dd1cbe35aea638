#!/usr/bin/env python3
from visionzoo.cli.config import main

raise SystemExit(main())
