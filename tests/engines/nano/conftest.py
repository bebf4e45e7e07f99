import pytest

from plait.engines.nano.blas import set_threads
from tests.engines.nano.tiny import Tiny, make_tiny


@pytest.fixture(scope="session", autouse=True)
def one_core() -> None:
    """Small products are slow on several cores while these have other work."""
    set_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))
