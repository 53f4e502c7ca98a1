"""SQLite needs locks that hold: a file on a network filesystem is refused."""

from pathlib import Path

from afina.errors import AfinaError

NETWORK = frozenset(
    {
        "afs",
        "afpfs",
        "ceph",
        "cifs",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb2",
        "smb3",
        "smbfs",
        "webdav",
    }
)
MOUNTS = Path("/proc/self/mounts")


def refuse_network_filesystem(folder: Path, mounts: Path = MOUNTS) -> None:
    """Raise where `folder` lies on a network filesystem; systems without a list of mounts are trusted."""
    kind = filesystem_of(folder.resolve(), mounts) if mounts.exists() else ""
    if kind.removeprefix("fuse.") in NETWORK or kind == "fuse.sshfs":
        raise AfinaError(
            f"The data directory lies on a network filesystem ({kind}), where SQLite's locks do not hold. "
            "Use a local disk, or PostgreSQL with AFINA_DATABASE_URL."
        )


def filesystem_of(folder: Path, mounts: Path) -> str:
    """The type of the mount that holds `folder`: the last one with the longest mount point."""
    found, kind = Path("/"), ""
    for line in mounts.read_text().splitlines():
        point, this = mount(line)
        if folder.is_relative_to(point) and len(point.parts) >= len(found.parts):
            found, kind = point, this
    return kind


def mount(line: str) -> tuple[Path, str]:
    """Mount point and type of one line; blanks in a path are written as octal numbers."""
    _, point, kind, *_ = line.split(" ")
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, letter)
    return Path(point), kind
