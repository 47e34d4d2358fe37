"""Foreword from Python: a small client of the public API, and `foreword import`."""

from foreword_client.client import Client, ForewordUnavailable, RequestRefused

__all__ = ["Client", "ForewordUnavailable", "RequestRefused"]
__version__ = "0.1.0"
