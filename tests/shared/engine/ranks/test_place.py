"""The place of a rank goes through the environment, and comes back."""

from poc.shared.data.batches.shard import WHOLE, Shard
from poc.shared.engine.ranks.place import ALONE, Place, split_address


def test_it_comes_back():
    place = Place(index=1, count=3, addresses=("a:1", "b:2", "c:3"), meeting="a:4", token="word")
    launched = Place(index=1, count=4, meeting="a:4", local_index=1, local_count=2)
    assert Place.of_environment(launched.to_environment()) == launched
    assert Place.of_environment(place.to_environment()) == place
    assert place.shard == Shard(1, 3)
    assert not place.is_alone
    assert not place.is_first


def test_a_process_without_variables_is_alone():
    assert Place.of_environment({"PATH": ""}) == ALONE
    assert ALONE.is_alone
    assert ALONE.is_first
    assert ALONE.shard == WHOLE


def test_addresses():
    assert split_address("127.0.0.1:80") == ("127.0.0.1", 80)
