"""The merge of another program's index with what is here, against a small model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zot.registry.generations import Written
from zot.registry.merging import Merge, merge

Content = dict[str, str]
contents = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("123"), max_size=6)
histories = st.lists(contents, min_size=1, max_size=6)


def applied(ours: Content, done: Merge[str, str]) -> Content:
    """Return what is here after a merge."""
    kept = {key: value for key, value in ours.items() if key not in done.deleted}
    return kept | done.added | done.moved


def written_from(history: list[Content]) -> Written:
    """Return what is known when these generations were written, one after the other."""
    written = Written()
    for content in history:
        written.advance(content)
    return written


@given(history=histories, now=contents, based_on=st.data(), theirs=contents)
def test_a_late_index_only_adds(history: list[Content], now: Content, based_on: st.DataObject, theirs: Content) -> None:
    """While we run, whatever another program writes and whenever it read: all of ours stays, and what it adds comes.

    It adds what it has, and what was here in none of the generations from the one that it read to the last.
    """
    written = written_from(history)
    number = based_on.draw(st.integers(1, len(history)))
    done = merge(written.base(f"{written.lineage}.{number}"), now, theirs, trusted=False)
    was_here = {key for content in history[number - 1 :] for key in content}
    expected = {key: value for key, value in theirs.items() if key not in now and key not in was_here}
    assert applied(now, done) == now | expected
    # What is refused is what they changed and we did not.
    base = history[number - 1]
    assert {key for key in done.refused if theirs.get(key) == now[key]} == set()
    untouched = {key for key in base if all(one.get(key) == base[key] for one in [*history[number - 1 :], now])}
    assert {key for key in untouched if theirs.get(key) != base[key]} <= done.refused


@given(history=histories, theirs=contents)
def test_what_was_done_in_our_absence_is_done(history: list[Content], theirs: Content) -> None:
    """An index that is based on our last, when nothing has changed here since, is what is here after the merge."""
    written = written_from(history)
    ours = history[-1]
    assert applied(ours, merge(written.base(written.generation), ours, theirs, trusted=True)) == theirs


@given(now=contents, theirs=contents)
def test_an_index_without_a_known_base_only_adds(now: Content, theirs: Content) -> None:
    """Nothing of ours is lost to an index that is based on nobody knows what; what is only there is added."""
    done = merge(None, now, theirs, trusted=False)
    assert applied(now, done) == theirs | now
    assert done.refused == {key for key in now if theirs.get(key) != now[key]}


@given(history=histories, now=contents, theirs=contents)
def test_a_merge_done_twice_is_done_once(history: list[Content], now: Content, theirs: Content) -> None:
    """A merge that is done again, after a crash, changes nothing more."""
    written = written_from(history)
    base = written.base(written.generation)
    after = applied(now, merge(base, now, theirs, trusted=False))
    assert applied(after, merge(base, after, theirs, trusted=False)) == after


def test_generations_of_others_are_not_known() -> None:
    """An index that was copied from another repository, or names nonsense, has no base here."""
    written = written_from([{"a": "1"}])
    for generation in (None, "", "x", f"{Written().lineage}.1", f"{written.lineage}.2", f"{written.lineage}.-1"):
        assert written.base(generation) is None
    assert written.base(written.generation) == {"a": "1"}


def test_removals_are_forgotten_in_time() -> None:
    """What went is remembered up to a bound; a generation from before is not known any more."""
    written = Written()
    for number in range(3):
        written.advance({str(key): "" for key in range(number * 10_001, (number + 1) * 10_001)})
    assert written.base(f"{written.lineage}.1") is None
    base = written.base(f"{written.lineage}.2")
    assert base is not None
    assert "10001" in base
