import subprocess
import sys

import pytest

from helpers import images, models
from helpers.images import image_set
from helpers.models import specs


def test_a_lazy_face_gives_out_what_its_modules_define():
    assert models.load is specs.load
    assert images.Images is image_set.Images
    for face in (models, images):
        assert [getattr(face, name) for name in face.__all__]


def test_a_name_that_a_lazy_face_lacks():
    with pytest.raises(AttributeError, match=r"helpers\.models.*'lode'"):
        models.lode  # noqa: B018
    with pytest.raises(ImportError, match="TYPE_CHECKINGS"):
        from helpers.models import TYPE_CHECKINGS  # noqa: F401


def test_a_table_comes_without_torch():
    code = (
        "import sys; from helpers.models.releases import RELEASES; "
        "assert RELEASES and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
