#!/usr/bin/env python3
from visionzoo.cli.env import main

raise SystemExit(main())
