#!/usr/bin/env python3
from visionzoo.cli.convert import main

raise SystemExit(main())
