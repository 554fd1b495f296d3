"""Keys: what is stored of them, what they open and for how long, and how much may be sent with one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.errors import SojournError
from sojourn.live.store.rows import Key
from sojourn.server.access import SCOPES, Access, create_key, read_basic, rotate_key
from tests.server.fake_service import FakeStore


class Keys(FakeStore):
    """A store whose keys can be revoked, and that counts how often they are read."""

    n_reads = 0

    def find_keys(self) -> list[Key]:
        self.n_reads += 1
        return list(self.keys)

    def revoke_key(self, id: str, at: int) -> bool:
        self.keys = [key for key in self.keys if key.id != id]
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_stored_of_a_key_does_not_open_anything() -> None:
    store = Keys()
    text, key = create_key(store, "site", ["write"])
    again, other = create_key(store, "site", ["write"])
    assert text != again
    assert key.hash != other.hash
    assert len(text) >= 32  # of 192 random bits
    stored = repr(store.keys).encode()
    assert text.encode() not in stored
    access = Access(store)
    for wrong in (key.id, key.hash.hex(), text[:-1], text + "a", text.upper(), ""):
        assert access.find(wrong, "write") is None
    assert access.find(text, "write") == key


@pytest.mark.parametrize("has", SCOPES)
@pytest.mark.parametrize("wants", SCOPES)
def test_a_key_opens_what_its_scope_says(has: str, wants: str) -> None:
    store = Keys()
    text, _ = create_key(store, "one", [has])
    assert (Access(store).find(text, wants) is not None) == (has == wants or (has, wants) == ("admin", "read"))


def test_a_key_that_is_rotated_ends_soon_and_the_store_is_not_asked_each_time() -> None:
    store, clock = Keys(), Clock()
    text, key = create_key(store, "site", ["write", "read"])
    access = Access(store, clock=clock)
    store.n_reads = 0
    assert all(access.find(text, "write") for _ in range(100))
    assert store.n_reads == 1
    fresh, replaced = rotate_key(store, key.id)
    assert (replaced.name, replaced.scopes) == (key.name, key.scopes)
    clock.now += 2
    assert access.find(text, "write") is None
    assert access.find(fresh, "read") == replaced
    with pytest.raises(SojournError, match="keys list"):
        rotate_key(store, key.id)


@pytest.mark.parametrize(
    ("text", "scopes", "is_good"),
    [
        ("wk_py", ["write"], True), ("wk", ["write"], False), ("wk_py", ["read"], False),
        ("wk_py", ["write", "read"], False), ("a-key-of-16-chars", ["admin"], True), ("has:colon", ["write"], False),
        ("line\nbreak", ["write"], False), ("x" * 512, ["write"], True), ("x" * 513, ["write"], False),
    ],
)  # fmt: skip
def test_a_key_of_another_tool_is_taken_where_it_is_safe(text: str, scopes: list[str], is_good: bool) -> None:
    store: Any = Keys()
    if not is_good:
        with pytest.raises(SojournError, match="printable"):
            create_key(store, "other", scopes, text=text)
        assert store.keys == []
        return
    assert create_key(store, "other", scopes, text=text)[0] == text
    assert Access(store).find(text, scopes[0]) is not None
    with pytest.raises(SojournError, match="already"):
        create_key(store, "again", scopes, text=text)


def test_what_strangers_try_takes_no_memory() -> None:
    access = Access(Keys())
    for i in range(25_000):
        access.find(f"guess-{i}", "write")
    access.find("x" * 1_000_000, "write")
    assert len(access._known) <= 10_000
    assert max(map(len, access._known)) < 1_000


@given(
    st.floats(0.5, 1_000),
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 5_000)), min_size=1, max_size=40),
)
def test_a_key_sends_no_more_than_its_limit_and_may_after_the_wait(limit: float, asks: list[tuple[float, int]]) -> None:
    store, clock = Keys(), Clock()
    key = create_key(store, "site", ["write"])[1]
    access = Access(store, n_events_per_s=limit, clock=clock)
    sent, begin = 0, clock.now
    for gap, n in asks:
        clock.now += gap
        wait_s = access.spend(key, n)
        if wait_s == 0:
            # Two seconds' worth at once; a request of more than that empties it, and is paid for by those after it.
            most = 2 * limit + limit * (clock.now - begin) + max(n - 2 * limit, 0)
            sent += n
            assert sent <= most * (1 + 1e-9)
        else:
            clock.now += wait_s * (1 + 1e-9) + 1e-9
            assert access.spend(key, n) == 0
            sent += n


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!!", "Basic /w==", "Digest abc", "Bearer", "basic \x00"])
def test_a_header_that_is_none_is_no_key(header: str) -> None:
    assert read_basic(header) == ""
