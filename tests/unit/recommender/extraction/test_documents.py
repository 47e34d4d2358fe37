"""What is read out of the files that content teams have, and what is refused with which words."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime

import docx
import pytest

from recommender.extraction.content import Extracted
from recommender.extraction.documents import extract
from recommender.extraction.errors import (
    Encrypted,
    ExtractionError,
    Malformed,
    NoText,
    TooLarge,
    UnsupportedForm,
)
from recommender.extraction.limits import Limits
from unit.recommender.extraction.made_files import (
    ENGLISH,
    GERMAN,
    MARKDOWN,
    MORE_ENGLISH,
    PAGE,
    WORD_BODY,
    archive,
    encrypted_pdf,
    pdf,
    pdf_pages,
    raw_pdf,
    saved,
    slide_deck,
    word_archive,
    word_file,
    zeros_archive,
)


def read(data: bytes, filename: str = "", declared_type: str | None = None, **limits: int) -> Extracted:
    return extract(data, filename, declared_type, Limits(**limits))


class TestPdf:
    def test_paragraphs_come_back_whole(self) -> None:
        found = read(pdf(ENGLISH, MORE_ENGLISH, heading="Requirements together"), "guide.pdf")
        assert found.form == "pdf"
        assert found.title == "Requirements together"
        assert found.body == f"{ENGLISH}\n\n{MORE_ENGLISH}"
        assert found.language == "en"
        assert found.warnings == ()

    def test_a_title_that_a_program_wrote_is_not_one(self) -> None:
        junk = read(pdf(ENGLISH, heading="Requirements", title="Microsoft Word - guide_v3.docx"), "guide.pdf")
        assert junk.title == "Requirements"
        named = read(pdf(ENGLISH, heading="Requirements", title="Requirements that last"), "guide.pdf")
        assert named.title == "Requirements that last"

    def test_pages_without_text_are_told(self) -> None:
        found = read(pdf_pages([ENGLISH, "", "", ""]), "scan.pdf")
        assert found.warnings[0] == "The PDF has 3 pages without text; they may be scanned images."
        assert (
            read(pdf_pages([ENGLISH, ""])).warnings[0].startswith("The PDF has 1 page without text; it may")
        )

    def test_running_heads_and_page_numbers_are_dropped(self) -> None:
        pages = [
            f"Northwind guide 2025\n\nChapter text number {word}.\nPage {at} of 4"
            for at, word in enumerate("abcd", 1)
        ]
        body = read(pdf_pages(pages)).body
        assert "Northwind" not in body
        assert "Page" not in body
        assert body.count("Chapter text number") == 4

    def test_words_parted_at_a_line_end_are_joined(self) -> None:
        body = read(
            pdf_pages(["The company has a modern infor-\nmation system that everyone in it can use."])
        ).body
        assert body == "The company has a modern information system that everyone in it can use."

    def test_only_scans_is_no_text(self) -> None:
        with pytest.raises(NoText, match="OCR"):
            read(pdf_pages(["", ""]), "scan.pdf")

    def test_a_password_is_asked_for(self) -> None:
        with pytest.raises(Encrypted, match="password"):
            read(encrypted_pdf(pdf(ENGLISH), "secret"), "guide.pdf")

    def test_an_empty_password_is_no_hindrance(self) -> None:
        assert read(encrypted_pdf(pdf(ENGLISH), ""), "guide.pdf").body == ENGLISH

    @pytest.mark.parametrize("keep", [0.1, 0.5, 0.95])
    def test_a_file_cut_short_is_damaged(self, keep: float) -> None:
        whole = pdf(ENGLISH)
        with pytest.raises(Malformed, match="damaged or incomplete"):
            read(whole[: int(keep * len(whole))], "guide.pdf")

    def test_too_many_pages(self) -> None:
        with pytest.raises(TooLarge, match="3 pages; up to 2"):
            read(pdf_pages(["one", "two", "three"]), max_pages=2)


PDF_PAGE = (
    b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R "
    b"/Resources << /Font << /F 5 0 R >> >> >>"
)
CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
ONE_KID = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
WORDS = b"<< /Length 40 >>\nstream\nBT /F 12 Tf 20 100 Td (Hello there) Tj ET\nendstream"


def pdf_stream(data: bytes) -> bytes:
    packed = zlib.compress(data)
    return b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "objects",
    [
        {1: CATALOG, 2: b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>"},
        {1: CATALOG, 2: ONE_KID, 3: b"<< /Type /Pages /Kids [2 0 R] /Parent 2 0 R /Count 1 >>"},
        {
            1: CATALOG,
            2: b"<< /Type /Pages /Kids [" + b"3 0 R " * 20_100 + b"] /Count 2 >>",
            3: PDF_PAGE,
            4: WORDS,
        },
        {1: b"<< /Type /Catalog >>"},
    ],
    ids=["own_kid", "kids_loop", "one_page_20100_times", "no_pages"],
)
def test_a_hostile_pdf_is_malformed(objects: dict[int, bytes]) -> None:
    with pytest.raises(Malformed):
        read(raw_pdf(objects), "guide.pdf")


@pytest.mark.slow
def test_a_pdf_page_that_inflates_without_end_is_malformed() -> None:
    bomb = {1: CATALOG, 2: ONE_KID, 3: PDF_PAGE, 4: pdf_stream(b" " * 90_000_000), 5: FONT}
    with pytest.raises(Malformed):
        read(raw_pdf(bomb), "guide.pdf")


def test_a_pdf_that_lies_about_its_pages_or_loops_its_tables_is_still_read() -> None:
    liar = {
        1: CATALOG,
        2: b"<< /Type /Pages /Kids [3 0 R] /Count 2000000000 >>",
        3: PDF_PAGE,
        4: WORDS,
        5: FONT,
    }
    assert read(raw_pdf(liar)).body == "Hello there"
    assert read(raw_pdf({**liar, 2: ONE_KID}, prev="/Prev {start}")).body == "Hello there"


class TestWord:
    def test_headings_lists_and_tables_in_order(self) -> None:
        found = read(word_file(), "guide.docx")
        assert found.title == "Writing requirements together"
        assert found.body == (
            f"{ENGLISH}\n\nWhat to ask\n\n- Who signs?\n- Who says no?\n\n"
            f"Department | Veto\nSecurity | yes\n\n{MORE_ENGLISH}"
        )
        assert found.metadata.published_at is None  # the date in python-docx's template is nobody's

    def test_properties_count_when_a_person_wrote_them(self) -> None:
        document = docx.Document()
        document.add_paragraph(ENGLISH)
        document.core_properties.title = "The long way to yes"
        document.core_properties.comments = (
            "How four firms agreed on what they need, told by those who were there."
        )
        document.core_properties.created = datetime(2025, 5, 6, 7, 8, tzinfo=UTC)
        found = read(saved(document))
        assert found.title == "The long way to yes"
        assert found.summary == "How four firms agreed on what they need, told by those who were there."
        assert found.metadata.published_at == datetime(2025, 5, 6, 7, 8, tzinfo=UTC)

    def test_text_in_controls_boxes_and_tracked_changes(self) -> None:
        def run(text: str) -> str:
            return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"

        body = (
            f"<w:sdt><w:sdtContent>{run(ENGLISH)}</w:sdtContent></w:sdt>"
            "<w:p><w:ins><w:r><w:t>Added</w:t></w:r></w:ins><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>"
            f"<w:p><w:r><w:pict><w:txbxContent>{run('In a box')}</w:txbxContent></w:pict></w:r></w:p>"
        )
        assert read(word_archive(WORD_BODY.format(body))).body == f"{ENGLISH}\n\nAdded\n\nIn a box"

    def test_a_flat_bomb_is_refused_by_what_it_declares(self) -> None:
        with pytest.raises(TooLarge, match="unpacks to far more"):
            read(zeros_archive("word/document.xml", 3 << 30), "guide.docx")

    def test_a_bomb_that_lies_is_refused_by_what_is_counted(self) -> None:
        with pytest.raises(TooLarge, match="unpacks to far more"):
            read(zeros_archive("word/document.xml", 1 << 28, declared=1_000), "guide.docx")

    def test_a_nested_bomb_is_never_opened(self) -> None:
        inner = zeros_archive("word/document.xml", 1 << 28)
        paragraph = f"<w:p><w:r><w:t>{ENGLISH}</w:t></w:r></w:p>"
        found = read(word_archive(WORD_BODY.format(paragraph), **{"word/embeddings/inner.docx": inner}))
        assert found.body == ENGLISH

    def test_too_many_parts(self) -> None:
        parts = {f"word/part{at}.xml": b"" for at in range(60)}
        with pytest.raises(TooLarge, match="parts"):
            read(word_archive("<x/>", **parts), max_archive_entries=50)

    @pytest.mark.parametrize(
        "declaration",
        [
            '<!DOCTYPE w [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
            '<!DOCTYPE w [<!ENTITY a "ha"><!ENTITY x "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        ],
    )
    def test_entities_are_refused(self, declaration: str) -> None:
        body = declaration + WORD_BODY.format("<w:p><w:r><w:t>&x;</w:t></w:r></w:p>")
        with pytest.raises(Malformed, match="document type"):
            read(word_archive(body), "guide.docx")

    def test_names_that_climb_out_are_passed_over(self) -> None:
        body = WORD_BODY.format(f"<w:p><w:r><w:t>{ENGLISH}</w:t></w:r></w:p>")
        assert (
            read(word_archive(body, **{"../../etc/cron.xml": "<a/>", "/etc/passwd.xml": "x"})).body == ENGLISH
        )

    @pytest.mark.parametrize("document", ["no xml", WORD_BODY.format("<w:sdt><w:sdtContent>" * 5_000)])
    def test_broken_or_endlessly_nested_xml_is_malformed(self, document: str) -> None:
        with pytest.raises(Malformed):
            read(word_archive(document), "guide.docx")

    def test_a_file_cut_short_is_malformed(self) -> None:
        with pytest.raises(Malformed, match="damaged"):
            read(word_file()[:5_000], "guide.docx")

    def test_no_text(self) -> None:
        with pytest.raises(NoText):
            read(word_archive(WORD_BODY.format("<w:p/>")), "guide.docx")


def test_slides_give_titles_text_tables_and_notes() -> None:
    found = read(slide_deck(), "deck.pptx")
    assert (found.form, found.title) == ("pptx", "Three months to a shortlist")
    assert found.body == (
        "A workshop for buying groups\n\nBefore the first call\n\n- List the vetoes\n- Price the delay\n\n"
        "Team | Weeks\nFinance | Two\n\nTell the story of the plant that skipped this step."
    )
    assert found.warnings == ("1 hidden slide was left out.",)


class TestPage:
    def test_the_article_and_nothing_around_it(self) -> None:
        found = read(PAGE, "guide.html")
        assert found.title == "Requirements that last"
        assert found.summary == "How four manufacturers wrote down what they need."
        assert found.body.startswith(ENGLISH)
        assert MORE_ENGLISH in found.body
        assert "- Security signs first\n- Finance signs last" in found.body
        assert found.body.endswith("Team | Weeks\nFinance | Two")
        for noise in (
            "Products menu",
            "cookies",
            "Imprint",
            "tracking text",
            "color: red",
            "javascript:",
            "steal()",
        ):
            assert noise not in found.body

    def test_facts_come_from_meta_tags_and_linked_data(self) -> None:
        metadata = read(PAGE, "guide.html").metadata
        assert metadata.published_at == datetime(2025, 3, 4, 8, 30, tzinfo=UTC)
        assert metadata.image_url == "https://example.com/img/cover.png"
        assert metadata.url == "https://example.com/guides/requirements"

    def test_addresses_that_act_are_not_taken(self) -> None:
        page = PAGE.replace(b"https://example.com/guides/requirements", b"javascript:alert(1)")
        page = page.replace(b"/img/cover.png", b"data:image/png;base64,AAAA")
        metadata = read(page, "guide.html").metadata
        assert metadata.url is None
        assert metadata.image_url is None

    def test_the_title_loses_the_name_of_the_site(self) -> None:
        page = PAGE.replace(b"<h1>Requirements that last</h1>", b"").replace(
            b'property="og:title"', b'name="x"'
        )
        page = page.replace(b'"headline": "Requirements", ', b"")
        assert read(page).title == "Requirements"

    def test_a_short_page_without_an_article_is_read_whole(self) -> None:
        found = read(b"<html><body><nav>Menu</nav><p>Call us on Monday.</p></body></html>", "a.html")
        assert found.body == "Call us on Monday."

    @pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "utf-16"])
    def test_encodings(self, encoding: str) -> None:
        head = f'<head><meta charset="{encoding}"><title>Prüfung</title></head>'
        page = f"<html>{head}<body><p>{GERMAN}</p></body></html>"
        assert read(page.encode(encoding), "a.html").body == GERMAN

    @pytest.mark.parametrize(
        "page",
        [
            b"<!doctype html><body>" + b"<div>" * 100_000 + b"deep",
            b"<html><body><script>1</script></body></html>",
        ],
    )
    def test_nothing_readable_is_no_text(self, page: bytes) -> None:
        with pytest.raises(NoText):
            read(page, "a.html")

    def test_broken_linked_data_is_passed_over(self) -> None:
        page = PAGE.replace(b'{"@context"', b"[" * 100_000 + b'{"@context"')
        assert read(page, "a.html").metadata.published_at is None


class TestMarkdown:
    def test_text_without_marks(self) -> None:
        found = read(MARKDOWN, "veto.md")
        assert (found.form, found.title, found.language) == ("markdown", "The veto list", "en")
        assert found.body == (
            f"The veto list, explained\n\n{ENGLISH}\n\n- Security signs first\n- Finance signs last\n\n"
            "Team | Weeks\nFinance | Two\n\nA quote about waiting."
        )

    def test_front_matter_is_handed_on(self) -> None:
        metadata = read(MARKDOWN, "veto.md").metadata
        assert metadata.front_matter["id"] == "guide-veto"
        assert metadata.front_matter["topics"] == ["procurement", "security"]
        assert metadata.published_at == datetime(2025, 2, 3, tzinfo=UTC)
        assert metadata.image_url == "https://example.com/veto.png"

    @pytest.mark.parametrize(
        "head",
        [
            "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]",
            "a: [",
            "- just\n- a list",
            "a: " + "[" * 600,
            "d: 2025-99-99",
        ],
    )
    def test_front_matter_that_cannot_be_read_is_left_out_and_told(self, head: str) -> None:
        found = read(f"---\n{head}\n---\n{ENGLISH}".encode(), "a.md")
        assert found.body == ENGLISH
        assert found.metadata.front_matter == {}
        assert "could not be read" in found.warnings[0]

    def test_the_first_heading_is_the_title(self) -> None:
        found = read(f"# The long way\n\n{ENGLISH}".encode(), "a.md")
        assert (found.title, found.body) == ("The long way", ENGLISH)


class TestText:
    @pytest.mark.parametrize(
        "encoding", ["utf-8", "utf-8-sig", "iso-8859-1", "cp1252", "utf-16", "utf-16-le", "utf-32"]
    )
    def test_encodings(self, encoding: str) -> None:
        found = read(f"Lösungen für Prüfer\n\n{GERMAN}".encode(encoding), "a.txt")
        assert (found.title, found.body, found.language) == ("Lösungen für Prüfer", GERMAN, "de")

    def test_cyrillic_in_its_old_encoding(self) -> None:
        text = "Это руководство описывает, как четыре завода записали свои требования и что они забыли."
        assert read(text.encode("cp1251"), "a.txt").body == text

    def test_a_summary_is_made_where_none_is_given(self) -> None:
        found = read(f"{ENGLISH} {MORE_ENGLISH}".encode(), "a.txt")
        assert found.summary == ENGLISH
        assert len(read(("word " * 500).encode(), "a.txt").summary or "") <= 300

    def test_the_file_name_is_the_last_resort_for_a_title(self) -> None:
        found = read(ENGLISH.encode(), "C:\\fakepath\\buying_guide-2025.txt")
        assert found.title == "Buying guide 2025"
        assert "file name was taken" in found.warnings[0]

    def test_very_long_text_is_cut_and_told(self) -> None:
        found = read(ENGLISH.encode() * 10, "a.txt", max_characters=500)
        assert len(found.body) <= 500
        assert "very long" in found.warnings[0]

    def test_signs_that_no_database_takes_are_removed(self) -> None:
        assert read(b"Some plain, \x0b words\x01 here. " * 9, "a.txt").body.startswith(
            "Some plain,\nwords here. Some"
        )


@pytest.mark.parametrize(
    ("data", "filename", "says"),
    [
        (b"MZ\x90\x00" + bytes(200), "guide.pdf", "is named .pdf but is a Windows program"),
        (b"\x7fELF" + bytes(200), "guide.docx", "is a program"),
        (PAGE, "guide.pdf", "holds a web page"),
        (b"just words", "guide.docx", "holds plain text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "a.png", "an image"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "a.doc", "old Office form"),
        (archive({"[Content_Types].xml": "x", "xl/workbook.xml": "x"}), "a.xlsx", "Excel workbook"),
        (archive({"notes.txt": "hello"}), "a.zip", "ZIP archive"),
        (b"id;title\n1;One", "a.csv", "use the import"),
        (b"{\\rtf1 hello}", "a.rtf", "RTF"),
        (bytes(range(256)) * 4, "a.bin", "not a document"),
    ],
)
def test_other_forms_are_refused_in_plain_words(data: bytes, filename: str, says: str) -> None:
    with pytest.raises(UnsupportedForm, match=says) as caught:
        read(data, filename)
    assert caught.value.code == "unsupported_form"


@pytest.mark.parametrize(
    ("data", "filename", "declared", "form"),
    [
        (pdf(ENGLISH), "guide.docx", "text/plain", "pdf"),
        (word_file(), "guide.pdf", "application/pdf", "docx"),
        (PAGE, "guide", None, "html"),
        (PAGE, "guide.txt", "text/plain", "html"),
        (MARKDOWN, "", None, "markdown"),
        (MARKDOWN, "a.md", "application/octet-stream", "markdown"),
        (b"# Title\n\nSome words", "", "text/markdown", "markdown"),
        (b"a < b and c > d", "a.html", "text/html", "text"),
    ],
)
def test_the_bytes_decide(data: bytes, filename: str, declared: str | None, form: str) -> None:
    assert read(data, filename, declared).form == form


def test_a_protected_office_file_asks_for_its_password() -> None:
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le")
    with pytest.raises(Encrypted):
        read(data, "a.docx")


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n ", b"\x00" * 50, b"...\n---\n"])
def test_empty_files_are_no_text(data: bytes) -> None:
    with pytest.raises(NoText) as caught:
        read(data, "a.txt")
    assert caught.value.code == "no_text"


def test_fifty_megabytes_are_refused_at_once() -> None:
    with pytest.raises(TooLarge, match="48 MB; up to 32 MB"):
        read(bytes(50_000_000), "a.pdf")


def test_codes_are_stable_and_every_one_is_different() -> None:
    def leaves(kind: type[ExtractionError]) -> list[str]:
        return [kind.code] + [code for below in kind.__subclasses__() for code in leaves(below)]

    codes = leaves(ExtractionError)
    assert len(codes) == len(set(codes))
    assert {"unsupported_form", "no_text", "file_encrypted", "file_too_large", "file_malformed"} <= set(codes)
