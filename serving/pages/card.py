"""The model card as HTML in the reader's language. It is Markdown with names and values of others: no HTML passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from serving.pages.i18n import formats, translation

if TYPE_CHECKING:
    from markdown_it.token import Token

TEMPLATES = translation.CARD + translation.TOLD


def html(text: str) -> Markup:
    """The card without its title, its headings below those of the page."""
    if not text:
        return Markup("")
    from markdown_it import MarkdownIt

    # CommonMark would let HTML and links through; a card holds customers' texts.
    reader = MarkdownIt("zero", {"html": False}).enable(
        ["heading", "list", "paragraph", "table", "emphasis", "backticks", "escape"]
    )
    tokens = reader.parse(text)
    if tokens and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        del tokens[:3]
    names = _first_cells(tokens)
    for i, token in enumerate(tokens):
        if token.tag in ("h2", "h3"):
            token.tag = f"h{int(token.tag[1]) + 1}"
        if token.type == "inline" and i not in names:
            told = _told(" ".join(token.content.split()))
            token.children = reader.parseInline(told)[0].children
    # Every text in these tokens was escaped by the renderer; "zero" has no rule that passes HTML.
    return Markup(reader.renderer.render(tokens, reader.options, {}))


def _told(text: str) -> str:
    return formats.localised(text) if translation.NUMBER.fullmatch(text) else translation.said(text, TEMPLATES)


def _first_cells(tokens: list[Token]) -> set[int]:
    """Places of the first cell of every row: names of columns and metrics, which are no words of ours."""
    return {i + 2 for i, token in enumerate(tokens) if token.type == "tr_open" and tokens[i + 1].type == "td_open"}
