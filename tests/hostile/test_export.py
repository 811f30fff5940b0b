"""The way out, fed with archives that no honest tar would write."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syftd.jobs.sandbox.export import MOST_DEPTH, Export
from syftd.jobs.sandbox.spec import Output, RefusedOutput

MB = 1 << 20


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, mode: int = 0o644, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = kind, mode, link
    info.size = len(content) if kind == tarfile.REGTYPE else 0
    header = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    return header + content + b"\0" * (-len(content) % 512)


END = b"\0" * 1024


class Took:
    def __init__(self, outputs: tuple[Output, ...], refused: tuple[RefusedOutput, ...], top: Path) -> None:
        self.outputs = {output.path: output for output in outputs}
        self.refused = dict(refused)
        self.top = top


def take(top: Path, stream: bytes, *, piece: int = 1 << 16, most_bytes: int = MB, most_entries: int = 50) -> Took:
    export = Export(top, most_bytes=most_bytes, most_entries=most_entries)
    for start in range(0, len(stream), piece):
        export.feed(stream[start : start + piece])
    return Took(*export.close(), top)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


@pytest.mark.parametrize("piece", [1, 7, 511, 512, 513, 1 << 16])
def test_honest_files_arrive_whatever_the_pieces(top: Path, piece: int) -> None:
    content = os.urandom(3000)
    stream = member("./", kind=tarfile.DIRTYPE) + member("./d/", kind=tarfile.DIRTYPE) + member("./d/x.bin", content)
    took = take(top, stream + member("./empty") + END, piece=piece)
    assert set(took.outputs) == {"d/x.bin", "empty"}
    assert (top / "d" / "x.bin").read_bytes() == content
    assert took.outputs["d/x.bin"].size == 3000
    assert not took.refused
    assert stat.S_IMODE((top / "d" / "x.bin").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "symbolic link"), (tarfile.LNKTYPE, "hard link"), (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"), (tarfile.FIFOTYPE, "pipe"), (tarfile.XHDTYPE, "not taken"), (b"S", "sparse"),
    ],
)  # fmt: skip
def test_what_is_not_a_file_is_refused_by_name_and_the_rest_is_kept(top: Path, kind: bytes, reason: str) -> None:
    took = take(top, member("a") + member("bad", kind=kind, link="/etc/passwd") + member("b") + END)
    assert set(took.outputs) == {"a", "b"}
    assert reason in took.refused["bad"]
    assert sorted(os.listdir(top)) == ["a", "b"]


@pytest.mark.parametrize(
    "name",
    ["../up", "/abs", "d/../../up", "a//b", "./../x", "x\\y", "bell\x07", "line\nbreak", "re\u202etxt.exe", "bad\udcff",
     "syft.pub.yaml", "d/SYFT.pub.yaml", "\x7f", "n" * 256, "d/" * (MOST_DEPTH + 1) + "x"],
)  # fmt: skip
def test_names_that_a_datasite_cannot_hold(top: Path, name: str) -> None:
    took = take(top, member(name, b"evil") + member("good", b"fine") + END)
    assert list(took.outputs) == ["good"]
    assert len(took.refused) == 1
    assert [path.name for path in top.parent.rglob("*")] == ["outputs", "good"]
    assert all(char.isprintable() for name in took.refused for char in name)


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o1644])
def test_set_uid_and_its_like(top: Path, mode: int) -> None:
    took = take(top, member("su", b"x", mode=mode) + member("ok") + END)
    assert list(took.outputs) == ["ok"]
    assert "set-uid" in took.refused["su"]


def test_a_link_cannot_be_written_through(top: Path, tmp_path: Path) -> None:
    (tmp_path / "aim").mkdir()
    stream = member("d", kind=tarfile.SYMTYPE, link=str(tmp_path / "aim")) + member("d/x", b"evil") + END
    take(top, stream)
    assert not any((tmp_path / "aim").iterdir())
    assert (top / "d" / "x").read_bytes() == b"evil"


def test_a_name_comes_once(top: Path) -> None:
    decomposed, composed = "cafe\u0301", "caf\u00e9"
    stream = (
        member("a", b"1") + member("a", b"2") + member("a/b", b"3") + member(composed, b"4") + member(decomposed, b"5")
    )
    took = take(top, stream + member("d/", kind=tarfile.DIRTYPE) + member("d", b"6") + END)
    assert (top / "a").read_bytes() == b"1"
    assert (top / composed).read_bytes() == b"4"
    assert set(took.outputs) == {"a", composed}
    assert {"a", "a/b", decomposed, "d"} == set(took.refused)


def test_size_limit_refuses_the_large_and_keeps_the_small(top: Path) -> None:
    stream = member("large", b"x" * MB) + member("larger", b"y" * MB) + member("small", b"z") + END
    took = take(top, stream, most_bytes=MB + 10)
    assert set(took.outputs) == {"large", "small"}
    assert "limit" in took.refused["larger"]


def test_entry_limit_counts_folders_and_names_no_more_than_it_must(top: Path) -> None:
    stream = b"".join(member(f"d{i}/f") for i in range(600)) + END
    took = take(top, stream, most_entries=50)
    assert len(took.outputs) == 25
    assert len(list(top.rglob("*"))) <= 50
    assert len(took.refused) < 250
    assert "more entries" in took.refused["…"]


def test_an_endless_stream_is_given_up(top: Path) -> None:
    export = Export(top, most_bytes=MB, most_entries=10)
    header = bytearray(member("huge", b"x")[:512])
    header[124:136] = b"\x80" + (1 << 40).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    export.feed(bytes(header))
    fed = 0
    while not export.ended:
        export.feed(b"\0" * MB)
        fed += 1
        assert fed < 20
    _, refused = export.close()
    assert next(name for name, _ in refused) == "huge"


def test_a_cut_stream_keeps_whole_files_only(top: Path) -> None:
    stream = member("whole", b"x" * 700) + member("half", b"y" * 5000)
    took = take(top, stream[:-3000])
    assert list(took.outputs) == ["whole"]
    assert os.listdir(top) == ["whole"]
    assert "cut off" in took.refused["half"]


def test_a_damaged_header_ends_the_collection_but_not_what_came_before(top: Path) -> None:
    broken = bytearray(member("b", b"x"))
    broken[0] ^= 1
    took = take(top, member("a", b"1") + bytes(broken) + member("c") + END)
    assert list(took.outputs) == ["a"]
    assert any("damaged" in reason for reason in took.refused.values())


def test_a_name_longer_than_any_name(top: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    took = take(top, member("a") + info.tobuf(tarfile.GNU_FORMAT) + b"x" * 4096)
    assert list(took.outputs) == ["a"]


def test_what_tar_writes_is_what_arrives(top: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep" / ("n" * 120)).mkdir(parents=True)
    (source / "deep" / ("n" * 120) / ("m" * 200)).write_bytes(b"long")
    (source / "-rf").write_text("x")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(source, ".")
    took = take(top, buffer.getvalue())
    assert set(took.outputs) == {"-rf", f"deep/{'n' * 120}/{'m' * 200}"}
    assert not took.refused


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=4000), st.integers(0, 1500), st.integers(1, 900))
def test_no_bytes_make_it_fail_or_leave_its_folder(noise: bytes, where: int, piece: int) -> None:
    import tempfile

    stream = member("a", b"1" * 600) + member("d/b", b"2") + END
    mixed = stream[:where] + noise + stream[where + len(noise) // 2 :]
    with tempfile.TemporaryDirectory() as folder:
        took = take(Path(folder) / "outputs", mixed, piece=piece)
        assert os.listdir(folder) == ["outputs"]
        on_disk = {str(p.relative_to(took.top)) for p in took.top.rglob("*") if not p.is_dir()}
        assert on_disk == set(took.outputs)
        assert all(stat.S_ISREG(p.lstat().st_mode) or p.is_dir() for p in took.top.rglob("*"))
