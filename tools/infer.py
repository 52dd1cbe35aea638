#!/usr/bin/env python3
from visionzoo.cli.infer import main

raise SystemExit(main())
