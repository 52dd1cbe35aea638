#!/usr/bin/env python3
from visionzoo.cli.cards import main

raise SystemExit(main())
