"""What a word is, and which words of a text enter a network."""

import re
import unicodedata
from typing import Final, Literal

#: Letters and digits of any script; an apostrophe may stand between them.
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


def tokens_of(text: str) -> list[str]:
    """The words of a text in their order, in small letters: runs of letters and digits, with apostrophes inside.

    The text is brought to Unicode's composed form (NFC) before. Underscores and all other characters separate words.
    """
    return _WORD.findall(unicodedata.normalize("NFC", text).lower())


def words_of(text: str, enters: Literal["bag", "tokens"]) -> list[str]:
    """The words that enter a network: of a bag each once, where it comes first, so that a place is not lost to it."""
    tokens = tokens_of(text)
    return list(dict.fromkeys(tokens)) if enters == "bag" else tokens
