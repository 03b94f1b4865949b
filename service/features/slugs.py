"""Names that inputs, layers and files can have, made of columns' names."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from service.features.preparation import CATEGORIES, FEATURES, NUMBERS

#: Short enough that what is added to a slug still fits into the 64 characters of a name.
_LENGTH: Final = 40


def slugs_of(names: Sequence[str]) -> dict[str, str]:
    """A name for each column: a letter, then letters, digits and _; no two are alike, nor a name of an input.

    Accents are left out, and what is no letter or digit becomes _.
    """
    slugs: dict[str, str] = {}
    taken = {NUMBERS, CATEGORIES, FEATURES}
    for name in names:
        base = _base(name)
        slug, number = base, 2
        while slug.lower() in taken or f"{slug}_input".lower() in taken:
            slug, number = f"{base}_{number}", number + 1
        taken |= {slug.lower(), f"{slug}_input".lower()}
        slugs[name] = slug
    return slugs


def _base(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    base = re.sub("[^A-Za-z0-9]+", "_", plain).strip("_")[:_LENGTH]
    return base if base[:1].isalpha() else f"column_{base}".rstrip("_")
