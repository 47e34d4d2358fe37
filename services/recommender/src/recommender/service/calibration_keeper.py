"""Keeps the calibration that is served up to date on every replica."""

from __future__ import annotations

import sqlalchemy as sa

from recommender.domain.stages import StageModel
from recommender.numeric.calibration import Calibration, CalibrationUnreadable
from recommender.store import calibrations as store
from servicekit import logs
from servicekit.database import reading


class CalibrationKeeper:
    """Holds what `foreword calibrate` stored last; `refresh` looks whether there is another."""

    def __init__(self, engine: sa.Engine, model: StageModel) -> None:
        self._engine = engine
        self._model = model
        self._version: int | None = None
        self._calibration: Calibration | None = None
        self._log = logs.get("recommender")

    def calibration(self) -> Calibration | None:
        return self._calibration

    def refresh(self) -> None:
        """One that cannot be read, or is of another stage file, is told of once and not served."""
        with reading(self._engine) as connection:
            stored = store.live(connection)
        version = None if stored is None else stored.version
        if version == self._version:
            return
        found: Calibration | None = None
        if stored is not None:
            try:
                found = Calibration.from_dict(stored.body)
            except CalibrationUnreadable as error:
                self._log.warning("calibration_unreadable", version=version, error=str(error))
            if found is not None and not found.fits(self._model):
                self._log.warning("calibration_of_another_stage_file", version=version)
                found = None
        self._calibration, self._version = found, version
        self._log.info("calibration_taken_up", version=version, served=found is not None)
