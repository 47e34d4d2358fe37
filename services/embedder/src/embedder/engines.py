"""From a model's folder to the encoder that serves: what may compute, and what a self-test chose."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import orjson

from embedder.cpus import available_cpus, cpu_signature
from embedder.encoder import Encoder, ModelUnusable
from embedder.self_test import LEAST_OVERLAP, REFERENCE, Finding, Way, best, compare
from embedder.sentence_transformer import SentenceTransformerEncoder
from embedder.settings import EmbedderSettings
from servicekit import logs


class Engines:
    """Loads one model in the best way the settings allow. `kept` is where conversions and choices stay."""

    def __init__(
        self,
        settings: EmbedderSettings,
        folder: Path,
        name: str,
        revision: str,
        kept: Path,
        seconds: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._name = name
        self._revision = revision
        self._kept = kept
        self._seconds = seconds
        self._threads = settings.embedder_threads_per_forward
        self._log = logs.get("embedder")

    def load(self) -> Encoder:
        """Raises ModelUnusable, also when the settings ask for a way that does not agree with float32."""
        allowed = self._allowed()
        if allowed == [REFERENCE]:
            return self._torch()
        remembered = self._remembered()
        if remembered in allowed and (remembered.engine == "torch" or self._converted().is_dir()):
            self._log.info("engine_remembered", engine=remembered.engine, dtype=remembered.dtype)
            return self._openvino(remembered) if remembered.engine == "openvino" else self._torch(remembered)
        return self._tested(allowed)

    def _allowed(self) -> list[Way]:
        engines = ("torch", "openvino") if self._settings.embedder_engine == "auto" else None
        dtypes = ("float32", "bfloat16") if self._settings.embedder_dtype == "auto" else None
        there = importlib.util.find_spec("openvino") is not None
        if not there and self._settings.embedder_engine == "openvino":
            raise ModelUnusable("FOREWORD_EMBEDDER_ENGINE is openvino, and the package is not installed.")
        found = [
            Way(engine, dtype)  # type: ignore[arg-type]
            for engine in engines or (self._settings.embedder_engine,)
            for dtype in dtypes or (self._settings.embedder_dtype,)
            if there or engine == "torch"
        ]
        if dtypes and there:  # arithmetic that the CPU has no instructions for is not worth a try
            from embedder.openvino_model import knows_bfloat16

            found = [way for way in found if way.dtype == "float32" or knows_bfloat16()]
        return found

    def _tested(self, allowed: list[Way]) -> Encoder:
        reference = self._torch()
        ways: dict[Way, Encoder] = {REFERENCE: reference}
        for way in allowed:
            try:
                ways[way] = self._way(way, reference)
            except ModelUnusable as error:
                if self._settings.embedder_engine == way.engine:
                    raise
                self._log.warning("engine_unusable", engine=way.engine, detail=str(error))
        findings = compare(ways, self._seconds)
        for way, found in findings.items():
            self._log.info(
                "engine_tested",
                engine=way.engine,
                dtype=way.dtype,
                gain=round(found.gain, 2),
                neighbours_kept=round(found.overlap, 3),
            )
        chosen = self._choose(allowed, findings)
        self._remember(chosen)
        return ways[chosen]

    def _choose(self, allowed: list[Way], findings: dict[Way, Finding]) -> Way:
        tried = {way: found for way, found in findings.items() if way in allowed}
        if REFERENCE in allowed:
            return best(tried)
        agreeing = {way: f for way, f in tried.items() if f.overlap >= LEAST_OVERLAP}
        if not agreeing:
            raise ModelUnusable(
                f"With {' or '.join(map(str, allowed))} this model finds other neighbours than in float32; "
                "set FOREWORD_EMBEDDER_ENGINE and FOREWORD_EMBEDDER_DTYPE to auto."
            )
        return max(agreeing, key=lambda way: agreeing[way].gain)

    def _way(self, way: Way, reference: SentenceTransformerEncoder) -> Encoder:
        if way.engine == "torch":
            return reference if way == REFERENCE else reference.in_bfloat16()
        from embedder.openvino_model import convert

        if not self._converted().is_dir():
            convert(reference, self._converted())
        return self._openvino(way)

    def _torch(self, way: Way = REFERENCE) -> SentenceTransformerEncoder:
        return SentenceTransformerEncoder(
            self._folder,
            name=self._name,
            revision=self._revision,
            threads=self._threads,
            token_budget=self._settings.embedder_token_budget,
            bfloat16=way.dtype == "bfloat16",
        )

    def _openvino(self, way: Way) -> Encoder:
        from embedder.openvino_model import OpenVinoEncoder

        cpus = self._settings.embedder_threads or available_cpus()
        return OpenVinoEncoder(
            self._converted(),
            bfloat16=way.dtype == "bfloat16",
            streams=max(1, cpus // self._threads),
            threads=self._threads,
            token_budget=self._settings.embedder_token_budget,
        )

    def _converted(self) -> Path:
        from embedder.openvino_model import converter_version

        safe = hashlib.sha256(self._name.encode()).hexdigest()[:8]
        return self._kept / f"{safe}-{self._revision}-openvino-{converter_version()}"

    def _choice(self) -> Path:
        """Where the choice is kept: it holds for this model, these libraries, and this kind of CPU."""
        libraries = [version(name) for name in ("torch", "openvino") if importlib.util.find_spec(name)]
        told = (self._name, self._revision, cpu_signature(), self._threads, libraries)
        return self._kept / f"choice-{hashlib.sha256(repr(told).encode()).hexdigest()[:16]}.json"

    def _remembered(self) -> Way | None:
        try:
            said = orjson.loads(self._choice().read_bytes())
            return Way(said["engine"], said["dtype"])
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            return None

    def _remember(self, way: Way) -> None:
        try:
            self._kept.mkdir(parents=True, exist_ok=True)
            self._choice().write_bytes(orjson.dumps({"engine": way.engine, "dtype": way.dtype}))
        except OSError as error:  # the next start tests again: slower, and nothing worse
            self._log.warning("engine_choice_not_kept", detail=str(error))
