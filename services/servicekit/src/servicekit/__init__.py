"""What every Foreword service shares. It names no asset, buyer or stage: those belong to the services."""

__version__ = "0.1.0"
