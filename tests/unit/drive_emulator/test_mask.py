from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.drive_emulator.errors import DriveError
from tests.drive_emulator.mask import Mask, apply, parse, validate
from tests.drive_emulator.schema import Discovery

DISCOVERY = Discovery()
LISTING = {
    "kind": "drive#fileList",
    "nextPageToken": "t",
    "files": [
        {"id": "1", "name": "a", "owners": [{"emailAddress": "a@x.org", "me": True}], "appProperties": {"k": "v", "l": "w"}}
    ],
}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("*", LISTING),
        ("kind", {"kind": "drive#fileList"}),
        ("files(id)", {"files": [{"id": "1"}]}),
        ("files/id,nextPageToken", {"files": [{"id": "1"}], "nextPageToken": "t"}),
        (" files( id , name ) , nextPageToken ", {"files": [{"id": "1", "name": "a"}], "nextPageToken": "t"}),
        ("files(owners/emailAddress)", {"files": [{"owners": [{"emailAddress": "a@x.org"}]}]}),
        ("files(owners(emailAddress,me),id)", {"files": [{"owners": [{"emailAddress": "a@x.org", "me": True}], "id": "1"}]}),
        ("files/*", {"files": LISTING["files"]}),
        ("files/appProperties/l", {"files": [{"appProperties": {"l": "w"}}]}),
        ("files(id),files(name)", {"files": [{"id": "1", "name": "a"}]}),
        ("files,files(id)", {"files": LISTING["files"]}),
    ],
)
def test_a_mask_keeps_what_it_names(text: str, kept: object) -> None:
    mask = parse(text)
    validate(mask, {"$ref": "FileList"}, DISCOVERY)
    assert apply(mask, LISTING) == kept


@pytest.mark.parametrize("text", ["", ",", "files(", "files(id", "files)", "files()", "a,,b", "files/", "/id", "f*"])
def test_what_is_no_mask_is_refused(text: str) -> None:
    with pytest.raises(DriveError) as refusal:
        parse(text)
    assert (refusal.value.status, refusal.value.reason) == (400, "invalidParameter")


@pytest.mark.parametrize("text", ["file(id)", "files(ident)", "files(owners(mail))", "files/name/first", "id"])
def test_a_field_that_the_answer_lacks_is_refused(text: str) -> None:
    with pytest.raises(DriveError, match="Invalid field selection"):
        validate(parse(text), {"$ref": "FileList"}, DISCOVERY)


def _text(mask: Mask) -> str:
    return ",".join(name if inner is None else f"{name}({_text(inner)})" for name, inner in mask.items())


NAMES = st.text(st.characters(categories=["Ll", "Lu", "Nd"]), min_size=1, max_size=6)
MASKS: st.SearchStrategy[Mask] = st.recursive(
    st.dictionaries(NAMES, st.none(), min_size=1, max_size=3),
    lambda inner: st.dictionaries(NAMES, st.none() | inner, min_size=1, max_size=3),
)


@settings(max_examples=50)
@given(MASKS)
def test_what_is_written_is_read_back(mask: Mask) -> None:
    assert parse(_text(mask)) == mask
