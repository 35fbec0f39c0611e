"""The model card as HTML in the reader's language. It is Markdown with names and values of others: no HTML passes."""

from __future__ import annotations

from typing import Any

import msgspec
from markupsafe import Markup

from ml.messages.document import Document, markdown
from serving.pages.i18n.translation import translated


def text(document: Any, written: str) -> str:
    """The card as Markdown: of `model_card.json`, else as a bundle without it has it `written`, in English."""
    return markdown(msgspec.convert(document, Document), translated) if document else written


def html(card: str) -> Markup:
    """The card without its title, its headings below those of the page."""
    if not card:
        return Markup("")
    from markdown_it import MarkdownIt

    # CommonMark would let HTML and links through; a card holds customers' texts.
    reader = MarkdownIt("zero", {"html": False}).enable(
        ["heading", "list", "paragraph", "table", "emphasis", "backticks", "escape"]
    )
    tokens = reader.parse(card)
    if tokens and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        del tokens[:3]
    for token in tokens:
        if token.tag in ("h2", "h3"):
            token.tag = f"h{int(token.tag[1]) + 1}"
    # Every text in these tokens was escaped by the renderer; "zero" has no rule that passes HTML.
    return Markup(reader.renderer.render(tokens, reader.options, {}))
