"""What a survey keeps does not grow with what it is given."""

import io

import numpy as np
from PIL import Image as Pictures

from service.features.survey import MOST_PICTURES, ImageSurvey


def test_the_sizes_of_many_pictures() -> None:
    """Of many pictures some are looked at, spread evenly over all, and their middle is that of all."""
    pictures = []
    for side in (20, 40):
        file = io.BytesIO()
        Pictures.new("L", (side, side)).save(file, "PNG")
        pictures.append(file.getvalue())
    survey = ImageSurvey()
    for picture, number in ((pictures[0], 3 * MOST_PICTURES), (pictures[1], 2 * MOST_PICTURES)):
        survey.add([picture] * number, np.ones(number, np.bool_))
    assert len(survey.sizes) <= MOST_PICTURES
    assert survey.typical_size() == (20, 20)
    assert 0.55 < np.mean([height == 20 for height, _ in survey.sizes]) < 0.65
