"""The real client of the hub against a small hub of our own; the command is a process, as its endpoint is fixed early."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path

import pytest

_spec = util.spec_from_file_location("played_hub", Path(__file__).with_name("played_hub.py"))
assert _spec is not None and _spec.loader is not None
played_hub = util.module_from_spec(_spec)
sys.modules["played_hub"] = played_hub
_spec.loader.exec_module(played_hub)

AFINA = str(Path(sys.executable).with_name("afina"))
Add = Callable[..., subprocess.CompletedProcess[str]]
