"""Foreword's public edge: keys, limits, the contract, click links and fallbacks."""

__version__ = "0.1.0"
