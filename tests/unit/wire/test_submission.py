"""The job files of the network: what it writes we read, what we write it reads, and strangers get no further."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from syftd.errors import ItemError, Malformed, TooLarge
from syftd.wire.submission import (
    DatasetUse,
    JobState,
    Submission,
    parse_state,
    parse_submission,
    render_state,
    render_submission,
    time_seconds,
    time_text,
)

NETWORK_CONFIG = b"""\
code_path: /srv/author/mean
dependencies:
- syft-client==0.1.117
- numpy
datasets:
  do@example.org:
  - census
entrypoint: main.py
files:
- main.py
- lib/a.py
headers:
  colour: blue
  nested:
    ignored: yes
is_folder_submission: true
job_type: local
name: Job - 1a2b3c4d
submitted_at: '2026-11-22T01:01:54.187048Z'
type: python
"""

NETWORK_STATE = b"""\
approval_method: manual
approved_at: '2026-11-22T01:02:03.000004Z'
approved_by: do@example.org
completed_at: null
received_at: '2026-11-22T01:01:55.000001Z'
rejected_at: null
rejected_by: null
return_code: null
review_reason: null
status: approved
"""

printable = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), max_size=120)
some = st.none() | printable
emails = st.sampled_from(["do@example.org", "other@example.org"])
datasets = st.one_of(
    st.lists(st.builds(DatasetUse, st.just(""), printable), max_size=3),
    st.lists(st.builds(DatasetUse, emails, printable), max_size=3).map(sorted),
).map(tuple)
submissions = st.builds(
    Submission,
    name=printable,
    type=st.sampled_from(["python", "bash"]),
    submitted_at=printable,
    entrypoint=some,
    dependencies=st.lists(printable, max_size=3).map(tuple),
    files=st.lists(printable, max_size=3).map(tuple),
    is_folder_submission=st.booleans(),
    job_type=st.sampled_from(["local", "enclave"]),
    datasets=datasets,
    headers=st.dictionaries(printable, printable, max_size=3).map(lambda headers: tuple(sorted(headers.items()))),
    canonical_name=some,
    version=some,
)
states = st.builds(
    JobState,
    status=st.sampled_from(["received", "pending", "approved", "rejected", "running", "done", "failed"]),
    received_at=some,
    approved_by=some,
    approved_at=some,
    approval_method=st.sampled_from([None, "manual", "auto"]),
    rejected_by=some,
    rejected_at=some,
    review_reason=some,
    completed_at=some,
    return_code=st.none() | st.integers(-(2**31), 2**31),
    canonical_name=some,
    version=some,
)


@settings(max_examples=80)
@given(submissions)
def test_every_submission_comes_back(submission: Submission) -> None:
    assert parse_submission(render_submission(submission).encode()) == submission


@settings(max_examples=80)
@given(states)
def test_every_state_comes_back(state: JobState) -> None:
    assert parse_state(render_state(state).encode()) == state


def test_a_submission_of_the_network_is_understood() -> None:
    assert parse_submission(NETWORK_CONFIG) == Submission(
        name="Job - 1a2b3c4d",
        type="python",
        submitted_at="2026-11-22T01:01:54.187048Z",
        entrypoint="main.py",
        dependencies=("syft-client==0.1.117", "numpy"),
        files=("main.py", "lib/a.py"),
        is_folder_submission=True,
        datasets=(DatasetUse("do@example.org", "census"),),
        headers=(("colour", "blue"),),
    )


def test_a_state_is_written_as_the_network_does() -> None:
    state = JobState(
        "approved",
        received_at="2026-11-22T01:01:55.000001Z",
        approved_by="do@example.org",
        approved_at="2026-11-22T01:02:03.000004Z",
        approval_method="manual",
    )
    assert parse_state(NETWORK_STATE) == state
    assert render_state(state).encode() == NETWORK_STATE


def test_a_submission_is_written_with_all_keys_in_order_and_without_our_paths() -> None:
    written = yaml.safe_load(render_submission(Submission(name="mean", type="bash", submitted_at=time_text(0.0))))
    assert list(written) == sorted(written)
    assert written == {
        "name": "mean",
        "type": "bash",
        "submitted_at": "1970-01-01T00:00:00.000000Z",
        "entrypoint": None,
        "dependencies": [],
        "files": [],
        "is_folder_submission": False,
        "code_path": None,
        "job_type": "local",
        "datasets": None,
        "headers": {},
    }


def test_keys_of_the_successor_are_written_only_when_known() -> None:
    newer = render_state(JobState("pending", canonical_name="JobState", version="1"))
    assert "canonical_name: JobState\n" in newer
    assert newer.endswith("version: '1'\n")
    assert "version" not in render_state(JobState("pending"))


@pytest.mark.parametrize("content", [b"", b"name: x", b"{}", b"# only a comment\n", b"novelty: [1, {a: b}]\n"])
def test_a_partial_submission_is_fine(content: bytes) -> None:
    assert parse_submission(content).dependencies == ()


def test_datasets_may_be_a_list_or_a_mapping() -> None:
    assert parse_submission(b"datasets: [a, b]").datasets == (DatasetUse("", "a"), DatasetUse("", "b"))
    assert parse_submission(b"datasets: {a: null, b: {x: y}}").datasets == (DatasetUse("", "a"), DatasetUse("", "b"))
    assert parse_submission(b"datasets: {DO@example.org: a}").datasets == (DatasetUse("do@example.org", "a"),)


def test_values_are_never_turned_into_something_else() -> None:
    read = parse_submission(b"name: 2026-01-01\ndependencies: [1:30, 0x10, 'null', .inf]\nsubmitted_at: 2026-01-01\n")
    assert read.name == "2026-01-01"
    assert read.dependencies == ("1:30", "0x10", "null", ".inf")


def test_a_job_name_with_separators_is_only_text_and_shell_text_stays_what_it_is() -> None:
    read = parse_submission(b"name: ../../*/x\ndependencies: ['x; rm -rf ~']\n")
    assert read.name == "../../*/x"
    assert read.dependencies == ("x; rm -rf ~",)


def test_a_name_cannot_steer_a_terminal() -> None:
    assert "\x1b" not in parse_submission(b'name: "a\\e[2Jb"').name


@pytest.mark.parametrize(
    "content",
    [
        b"- a list",
        b"just text",
        b"name: [x]",
        b"name: {a: b}",
        b"type: perl",
        b"dependencies: x",
        b"dependencies: [[x]]",
        b"dependencies: [null]",
        b'dependencies: ["a\\nb"]',
        b'entrypoint: "a\\0b"',
        b"files: {a: b}",
        b"datasets: 5",
        b"is_folder_submission: maybe",
        b"headers: [a]",
        b"name: x\nname: y",
        b"name: &a x\nentrypoint: *a",
        b"name: *a",
        b"name: &a x",
        b"name: !!python/object/apply:os.system [x]",
        b"name: !!binary aGk=",
        b"a: &a [x]\n<<: *a",
        b"name: x\n---\nname: y",
        b"? [x]\n: y",
        b"? {x: y}\n: z",
        b"null: x",
        b"\xff\xfe",
        b"name: \x00",
        b'name: "\\UFFFFFFFF"',
        b"name: 'unended",
        b"a: " + b"[" * 100,
        b"a: " + b"[" * 12 + b"]" * 12,
        b"a: " + b"[" * 200_000,
        b"{a: " * 50_000,
        b"- " * 100_000,
        b"a: [" + b"x," * 100_000 + b"]",
    ],
)
def test_garbage_is_refused(content: bytes) -> None:
    with pytest.raises((Malformed, TooLarge)):
        parse_submission(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"status: null",
        b"status: exploded",
        b"status: [done]",
        b"status: done\nreturn_code: one",
        b"status: done\nreturn_code: 1.5",
        b"status: done\nreturn_code: 99999999999999",
        b"status: done\nreturn_code: --5",
        b"status: done\napproval_method: magic",
        b"status: done\napproved_by: [x]",
    ],
)
def test_a_state_that_makes_no_sense_is_refused(content: bytes) -> None:
    with pytest.raises(Malformed):
        parse_state(content)


def test_large_files_are_refused() -> None:
    with pytest.raises(TooLarge):
        parse_submission(b"#" * (256 * 1024 + 1))
    with pytest.raises(TooLarge):
        parse_state(b"#" * (256 * 1024 + 1))


@settings(max_examples=200)
@given(st.binary(max_size=120) | st.text("ab:-[]{}&*!|>'\"\n #?,%~", max_size=60).map(str.encode))
def test_random_bytes_raise_nothing_but_item_errors(content: bytes) -> None:
    for parse in (parse_submission, parse_state):
        try:
            parse(content)
        except ItemError:
            pass  # A refusal is fine, and so is YAML that happens to be valid; any other error fails the test.


def test_times_are_the_networks() -> None:
    assert time_text(1795309314.187048) == "2026-11-22T01:01:54.187048Z"
    assert time_text(1795309314) == "2026-11-22T01:01:54.000000Z"
    assert time_seconds("2026-11-22T01:01:54.187048Z") == 1795309314.187048
    assert time_seconds("2026-11-22T02:01:54+01:00") == 1795309314.0
    for wrong in ("", "yesterday", "2026-13-01T00:00:00Z", "9" * 1000):
        with pytest.raises(Malformed):
            time_seconds(wrong)


@given(st.integers(0, 4_000_000_000_000_000))
def test_a_time_comes_back_to_the_microsecond(microseconds: int) -> None:
    assert time_text(time_seconds(time_text(microseconds / 1e6))) == time_text(microseconds / 1e6)
