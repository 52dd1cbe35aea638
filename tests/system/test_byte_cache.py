"""A store of values that may use a limited number of bytes."""

import pickle

from visionzoo.system.byte_cache import ByteCache


def test_the_least_recently_used_values_are_dropped():
    cache = ByteCache(10)
    for name in "abc":
        cache.put(name, name, size=3)
    assert cache.get("a") == "a"
    cache.put("d", "d", size=3)
    assert [cache.get(name) for name in "abcd"] == ["a", None, "c", "d"]
    cache.put("a", "new", size=10)
    assert [cache.get(name) for name in "acd"] == ["new", None, None]
    assert cache.size == 10
    cache.put("e", "e", size=11)
    assert cache.get("e") is None
    assert cache.get("a") == "new"


def test_a_copy_for_another_process_is_empty():
    cache = ByteCache(10)
    cache.put("a", "a", size=3)
    copy = pickle.loads(pickle.dumps(cache))
    assert (copy.most, copy.size, copy.get("a")) == (10, 0, None)
    copy.put("b", "b", size=3)
    assert copy.get("b") == "b"
