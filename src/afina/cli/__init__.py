"""The `afina` command: client commands over HTTP, operator commands on the data directory."""

from afina.cli.app import main

__all__ = ["main"]
