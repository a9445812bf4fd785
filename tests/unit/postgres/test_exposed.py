"""When a connection to the database can be read on its way."""

import pytest

from store.postgres.faults import is_exposed


@pytest.mark.parametrize(
    ("server", "encrypted", "exposed"),
    [
        (None, False, False),
        ("127.0.0.1", False, False),
        ("::1", False, False),
        ("192.0.2.7", False, True),
        ("2001:db8::7", False, True),
        ("192.0.2.7", True, False),
    ],
)
def test_only_what_leaves_the_machine_unencrypted_is_exposed(
    server: str | None, encrypted: bool, exposed: bool
) -> None:
    assert is_exposed(server, encrypted) is exposed
