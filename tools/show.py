#!/usr/bin/env python3
from visionzoo.cli.show_card import main

raise SystemExit(main())
