from collections.abc import Iterator

import hypothesis
import pytest

# How long one example takes depends on what else the machine does; pytest-timeout bounds tests.
hypothesis.settings.register_profile("plait", deadline=None)
hypothesis.settings.load_profile("plait")


@pytest.fixture(autouse=True, scope="session")
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What plait keeps for whoever runs the tests is neither read nor changed by them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
