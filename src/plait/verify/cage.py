"""Runs one Python program where it can reach nothing. A script of its own: it imports no plait.

    python -I -S cage.py        with a job on standard input: its length in `HEAD` digits, its JSON

    job: argv      the program and its arguments; the program's interpreter must be among ``read``
         files     name -> text, put into the working directory
         read      folders of this machine that it may read; everything else is not there
         seconds   of processor time; megabytes of memory; processes
         serves    what follows on standard input is for the program; it has none otherwise

It leaves this machine's network, file system, processes and users before the program starts
(namespaces of the Linux kernel) and sets limits (rlimit). The only place that can be written is a
folder in memory that is gone at the end. Exit status 97, with the reason on standard error, means
that the cage could not be built; the program was not run then.

As root it enters the namespaces with root's rights and gives them up for a user that nobody else
has; as anybody else it enters through a user namespace, which some systems forbid.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

NOT_BUILT = 97
HEAD = 12
NEW_MOUNTS, NEW_USER, NEW_NAMES, NEW_IPC, NEW_PIDS, NEW_NET = (
    0x00020000, 0x10000000, 0x04000000, 0x08000000, 0x20000000, 0x40000000)
READ_ONLY, NO_SUID, NO_DEVICES, REMOUNT, BIND, RECURSIVE, PRIVATE = (
    1, 2, 4, 32, 4096, 16384, 1 << 18)
KEPT = {8: 8, 1024: 1024, 2048: 2048, 4096: 1 << 21}  # flags of statvfs -> of mount
SET_DEATH_SIGNAL, NO_NEW_RIGHTS = 1, 38
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/dev/null", "/dev/urandom")
UNUSED_USERS = 1_000_000_000
NOBODY = 65534
FOLDER_SIZE = "size=64m,mode=1777"
OUTPUT = 1 << 20
libc = ctypes.CDLL(None, use_errno=True)


class NotBuilt(Exception):
    """The cage cannot be built on this system."""


def must(result: int, what: str) -> None:
    if result != 0:
        raise NotBuilt(f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    def raw(text: str | None) -> bytes | None:
        return None if text is None else text.encode()

    must(libc.mount(raw(source), raw(target), raw(kind), ctypes.c_ulong(flags), data.encode()),
         f"mount {target}")


def leave() -> None:
    """Go into namespaces of our own."""
    rest = NEW_MOUNTS | NEW_NAMES | NEW_IPC | NEW_PIDS | NEW_NET
    user, group = os.getuid(), os.getgid()
    if os.geteuid() == 0:  # in a user namespace root would stay exempt from the process limit
        must(libc.unshare(rest), "root may not make namespaces here")
        return
    must(libc.unshare(NEW_USER | rest), "user namespaces are forbidden here")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {group} 1")


def furnish(root: str, read: list[str]) -> None:
    """A file system that holds what may be read, read-only, and a folder to write in."""
    mount(None, "/", None, RECURSIVE | PRIVATE)
    mount("tmpfs", root, "tmpfs", NO_SUID | NO_DEVICES, "size=1m,mode=755")
    Path(root, "tmp").mkdir()  # first, since what may be read may lie in there
    mount("tmpfs", root + "/tmp", "tmpfs", NO_SUID | NO_DEVICES, FOLDER_SIZE)
    for source in sorted({os.path.realpath(p) for p in read} | set(SYSTEM)):
        if not Path(source).exists():
            continue
        target = root + source
        if Path(source).is_dir():
            Path(target).mkdir(parents=True, exist_ok=True)
        else:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            Path(target).touch()
        kept = sum(new for old, new in KEPT.items() if os.statvfs(source).f_flag & old)
        mount(source, target, None, BIND | RECURSIVE)
        devices = 0 if source.startswith("/dev/") else NO_DEVICES
        mount(None, target, None, BIND | REMOUNT | READ_ONLY | NO_SUID | devices | kept)


def limit(job: dict[str, Any]) -> None:
    seconds, memory = int(job["seconds"]), int(job["megabytes"]) << 20
    limits = {
        resource.RLIMIT_AS: memory, resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: OUTPUT, resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_NPROC: int(job["processes"]),
    }
    if not job["serves"]:  # one that serves sets it for each job
        limits[resource.RLIMIT_CPU] = seconds
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))


def enter(job: dict[str, Any], root: str) -> None:
    """The first process in there: furnish, go in, give up every right, become the program."""
    must(libc.prctl(SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0), "prctl")
    furnish(root, job["read"])
    os.chroot(root)
    os.chdir("/tmp")
    if os.getuid() == 0:
        own = UNUSED_USERS + int(job["number"]) % UNUSED_USERS
        os.setgroups([])
        os.setgid(own)
        os.setuid(own)
    for name, text in job["files"].items():
        Path(name).write_text(text, encoding="utf-8")
    must(libc.prctl(NO_NEW_RIGHTS, 1, 0, 0, 0), "prctl")
    limit(job)
    os.closerange(3, 256)
    os.execve(job["argv"][0], job["argv"], {"PATH": "/usr/bin:/bin", "HOME": "/tmp",
                                            "LANG": "C.UTF-8"})


def main() -> None:
    job = json.loads(take(int(take(HEAD))))
    if not job["serves"]:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    job["number"] = os.getpid()
    try:
        must(libc.prctl(SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0), "prctl")
        leave()
    except (NotBuilt, OSError) as error:
        refuse(error)
    child = os.fork()  # the first process of the new namespace; all others end with it
    if child == 0:
        try:
            enter(job, job["root"])
        except BaseException as error:  # noqa: BLE001 - a forked process must not go on as its parent
            refuse(error)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def take(count: int) -> bytes:
    """So many bytes of standard input, and none of what follows."""
    data = b""
    while len(data) < count:
        part = os.read(0, count - len(data))
        if not part:
            raise EOFError("the job is not whole")
        data += part
    return data


def refuse(error: BaseException) -> None:
    os.write(2, f"the sandbox cannot be built: {error}\n".encode())
    os._exit(NOT_BUILT)


if __name__ == "__main__":
    main()
