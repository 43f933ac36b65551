"""Files are written whole or not at all, and nothing is read that does not lie in the folder."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
import subprocess
import sys

import pytest

from qfix.errors import FolderError, QfixError
from qfix.runs import files
from qfix.runs.files import (
    TEMPORARY,
    open_regular,
    read_regular,
    remove,
    remove_leftovers,
    strict_json,
    write_atomically,
)


@pytest.fixture(params=["beside", "by path"])
def either_way(request, monkeypatch):
    """Names looked up in open folders, and, where the system cannot do that, one after the other."""
    monkeypatch.setattr(files, "_BESIDE", request.param == "beside")


def failing(code):
    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    return fail


# Writing


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a"
    for data in (b"one", b"", b"\0" * 70_000):
        write_atomically(path, data)
        assert path.read_bytes() == data
        assert os.listdir(tmp_path) == ["a"]


def test_short_writes_are_gone_on_with(tmp_path, monkeypatch):
    def seven(descriptor, data, write=os.write):
        return write(descriptor, data[:7])

    monkeypatch.setattr(os, "write", seven)
    write_atomically(tmp_path / "a", bytes(range(100)))
    assert (tmp_path / "a").read_bytes() == bytes(range(100))


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="the names of open files are told by /proc")
def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    calls = []

    def fsync(descriptor, fsync=os.fsync):
        calls.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def replace(old, new, replace=os.replace):
        calls.append((os.path.basename(old), os.path.basename(new)))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_atomically(tmp_path / "a", b"new")
    assert calls == [calls[0], (calls[0], "a"), tmp_path.name]
    assert calls[0].startswith(TEMPORARY)


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "open"])
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, call):
    write_atomically(tmp_path / "a", b"old")
    with monkeypatch.context() as broken:
        broken.setattr(os, call, failing(errno.ENOSPC))
        with pytest.raises(
            FolderError, match=r"Cannot write .*a: No space left on device\. Free space"
        ) as told:
            write_atomically(tmp_path / "a", b"new")
    assert told.value.errno == errno.ENOSPC
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("call", ["write", "replace"])
def test_an_interruption_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, call):
    def interrupted(*_):
        raise KeyboardInterrupt

    write_atomically(tmp_path / "a", b"old")
    with monkeypatch.context() as broken:
        broken.setattr(os, call, interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_limit_on_the_size_of_files_is_told(tmp_path):
    """The kernel itself refuses the write, in the middle of the file."""
    program = f"""
import resource
from qfix.errors import FolderError
from qfix.runs.files import write_atomically
write_atomically({str(tmp_path / "a")!r}, b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, {resource.getrlimit(resource.RLIMIT_FSIZE)[1]}))
try:
    write_atomically({str(tmp_path / "a")!r}, bytes(30_000_000))
except FolderError as fault:
    print(fault)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "File too large" in told
    assert "Raise the limit" in told
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.EACCES, "permissions"),
        (errno.EROFS, "another one"),
        (errno.EDQUOT, "quota"),
        (errno.EIO, "Check the disk"),
    ],
)
def test_each_failure_has_its_remedy(tmp_path, monkeypatch, code, remedy):
    monkeypatch.setattr(os, "open", failing(code))
    with pytest.raises(FolderError, match=f"{os.strerror(code)}.*{remedy}"):
        write_atomically(tmp_path / "a", b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(FolderError, match=r"Permission denied.*permissions of the folder"):
        write_atomically(tmp_path / "a", b"")


def test_no_folder_no_file(tmp_path):
    with pytest.raises(FolderError, match=r"No such file or directory.*Check the name"):
        write_atomically(tmp_path / "none" / "a", b"")


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "a").symlink_to("precious")
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "a").is_symlink()


def test_leftovers_are_removed_and_what_they_lead_to_is_not(tmp_path):
    away, run = tmp_path / "away", tmp_path / "run"
    for folder in (away, run, run / f"{TEMPORARY}1", run / f"{TEMPORARY}1" / "in"):
        folder.mkdir()
    (away / "precious").touch()
    (run / "kept").touch()
    (run / f"{TEMPORARY}2").touch()
    (run / f"{TEMPORARY}3").symlink_to(away)
    (run / f"{TEMPORARY}1" / "in" / "link").symlink_to(away)
    remove_leftovers(run)
    assert os.listdir(run) == ["kept"]
    assert os.listdir(away) == ["precious"]
    remove_leftovers(tmp_path / "none")
    remove(tmp_path / "none")


# Reading


@pytest.mark.usefixtures("either_way")
def test_a_file_of_a_folder_is_read_up_to_its_limit(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(b"12345")
    assert read_regular(tmp_path, "a/b/c", 5) == b"12345"
    with pytest.raises(FolderError, match="has 5 bytes, more than the 4"):
        read_regular(tmp_path, "a/b/c", 4)
    for missing in ("a/x", "x/y"):
        with pytest.raises(FolderError, match="No such file"):
            read_regular(tmp_path, missing, 5)


@pytest.mark.usefixtures("either_way")
def test_a_sparse_giant_is_refused_by_its_size(tmp_path):
    with open(tmp_path / "a", "wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(FolderError, match="more than"):
        read_regular(tmp_path, "a", 1 << 20)


@pytest.mark.parametrize(
    "name", ["", "/etc/hostname", "..", "../a", "a/../../b", "./a", "a//b", "a/", "a\\b", "a\0b"]
)
@pytest.mark.usefixtures("either_way")
def test_no_name_leads_out(tmp_path, name):
    with pytest.raises(FolderError, match="no name of a file"):
        read_regular(tmp_path, name, 1 << 20)


@pytest.mark.usefixtures("either_way")
def test_links_are_not_followed(tmp_path):
    away, run = tmp_path / "away", tmp_path / "run"
    away.mkdir()
    run.mkdir()
    (away / "secret").write_text("secret")
    (run / "file").symlink_to(away / "secret")
    (run / "folder").symlink_to(away)
    (run / "dangling").symlink_to("nothing")
    (run / "round").symlink_to("round")
    for name in ("file", "folder/secret", "dangling", "round"):
        with pytest.raises(FolderError, match="symbolic link"):
            read_regular(run, name, 100)
    (tmp_path / "linked run").symlink_to(run)
    (run / "own").write_text("own")
    assert read_regular(tmp_path / "linked run", "own", 100) == b"own"


@pytest.mark.usefixtures("either_way")
def test_a_link_that_slips_in_between_is_not_followed_either(tmp_path, monkeypatch):
    """It looked like a file a moment ago."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "plain").touch()
    (tmp_path / "a").symlink_to("secret")
    plain = os.lstat(tmp_path / "plain")
    monkeypatch.setattr(os, "stat", lambda *_, **__: plain)
    with pytest.raises(FolderError, match=r"symbolic links"):
        read_regular(tmp_path, "a", 100)


@pytest.mark.usefixtures("either_way")
def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(tmp_path)  # names of sockets are short
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
        for name, kind in (("pipe", "a named pipe"), ("folder", "a folder"), ("socket", "a socket")):
            with pytest.raises(FolderError, match=f"is {kind}"):
                read_regular(tmp_path, name, 100)
    with pytest.raises(FolderError, match="is a named pipe"):
        read_regular(tmp_path, "pipe/a", 100)
    with pytest.raises(FolderError, match="Not a directory"):
        read_regular(tmp_path / "pipe", "a", 100)


def test_a_file_that_shrinks_while_it_is_read_is_cut_short(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    descriptor, size = open_regular(tmp_path, "a")
    os.truncate(tmp_path / "a", 3)
    with pytest.raises(FolderError, match="ends after 3 of 5 bytes"):
        files.read_into(descriptor, memoryview(bytearray(size)), tmp_path / "a")
    os.close(descriptor)


@pytest.mark.usefixtures("either_way")
def test_no_descriptor_is_left_open(tmp_path):
    (tmp_path / "a").touch()
    os.mkfifo(tmp_path / "pipe")
    before = os.listdir("/dev/fd")
    for name in ("a", "pipe", "none", "a/b", "../a"):
        with contextlib.suppress(QfixError):
            read_regular(tmp_path, name, 100)
    assert os.listdir("/dev/fd") == before


# JSON


def test_json_is_read():
    text = '{"a": [1, 2.5, -0.0, true, null, "ä\\ud83d\\ude00"], "b": {"a": {}}}'
    assert strict_json(text.encode(), "x") == {
        "a": [1, 2.5, 0.0, True, None, "ä\N{GRINNING FACE}"],
        "b": {"a": {}},
    }


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff",
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b"[NaN]",
        b"[-Infinity]",
        b"[1e999]",
        b"[" + b"9" * 5_000 + b"]",
        b'{"a": 1, "a": 1}',
        b'{"b": {"a": 1, "a": 2}}',
        b"[" * 65 + b"]" * 65,
        b"[" * 1_000_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[1] [2]",
        b"'a'",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_what_is_not_strictly_json_is_refused(text):
    with pytest.raises(FolderError, match="x is not the JSON it should be"):
        strict_json(text, "x")


def test_sixty_four_levels_are_deep_enough():
    assert strict_json(b"[" * 64 + b"]" * 64, "x")
