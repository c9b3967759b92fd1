"""Karn: telemetry for training whose network grows and shrinks under a policy."""

__version__ = "0.1.0"
