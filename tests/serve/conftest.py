import pytest

from tests.serve.exported import client_of, write_export


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The export of a `tandem` that reads texts and profiles; read-only."""
    return write_export(tmp_path_factory.mktemp("export"))[1]


@pytest.fixture(scope="module")
def client(folder):
    with client_of(folder) as one:
        yield one
