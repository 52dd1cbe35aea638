#!/usr/bin/env python3
from visionzoo.cli.test import main

raise SystemExit(main())
