#!/usr/bin/env python3
from visionzoo.cli.list_models import main

raise SystemExit(main())
