"""The worlds are registered for every test here."""

import pytest

from qfix.envs import register_worlds
from qfix.envs.catalogue import CATALOGUE

register_worlds()

FINITE = [row.name for row in CATALOGUE if row.finite]


@pytest.fixture(params=FINITE)
def name(request):
    """The name of each finite world in turn."""
    return request.param
