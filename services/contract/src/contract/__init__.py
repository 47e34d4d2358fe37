"""The public wire shapes of Foreword: one definition, read by the gateway and by the recommender."""

__version__ = "0.1.0"
