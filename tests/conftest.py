import hypothesis
import pytest

# How long one example takes depends on what else the machine does; pytest-timeout bounds tests.
hypothesis.settings.register_profile("plait", deadline=None)
hypothesis.settings.load_profile("plait")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
