"""Locks of Python packages, to be measured beside ours: `python peer.py NAME LOCK`.

Speaks what tests/bench/peer/src/lib.rs describes.
"""

import os
import resource
import sys
import time

FOREVER = 3600.0
now = time.monotonic_ns


def sleep_until(instant):
    while (left := instant - now()) > 0:
        time.sleep(left / 1e9)


class Portalocker:
    """Opens the file for each cycle, as its documentation shows."""

    def __init__(self, lock, flags=None):
        import portalocker

        # Whoever waits in the kernel has no use for a timeout.
        options = {"timeout": FOREVER} if flags is None else {"flags": flags}
        self.make = lambda: portalocker.Lock(lock, **options)

    def acquire(self):
        self.held = self.make()
        self.held.acquire()

    def release(self):
        self.held.release()


class PidFile:
    """Says who holds it."""

    def __init__(self, lock):
        import portalocker

        self.lock = portalocker.PidFileLock(lock)

    def acquire(self):
        self.lock.acquire(timeout=FOREVER, fail_when_locked=False)

    def release(self):
        self.lock.release()


class FileLock:
    def __init__(self, lock, kind):
        import filelock

        self.lock = getattr(filelock, kind)(lock)

    def acquire(self):
        self.lock.acquire()

    def release(self):
        self.lock.release()


def subject(name, lock):
    if name == "filelock":
        return FileLock(lock, "FileLock")
    if name == "soft-filelock":
        return FileLock(lock, "SoftFileLock")
    if name == "portalocker":
        return Portalocker(lock)
    if name == "portalocker-blocking":
        import portalocker

        return Portalocker(lock, portalocker.LockFlags.EXCLUSIVE)
    if name == "portalocker-pid":
        return PidFile(lock)
    raise ValueError(f"no such peer: {name}")


def used():
    """Nanoseconds of the processors."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def work(counter):
    file = os.open(counter, os.O_RDWR)
    number = int.from_bytes(os.pread(file, 8, 0), "little") + 1
    os.pwrite(file, number.to_bytes(8, "little"), 0)
    os.close(file)
    log = os.open(f"{counter}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(log, f"{os.getpid()} {number}\n".encode())
    os.close(log)


def contend(it, start, until, log, counter):
    start, until = int(start), int(until)
    turns = []
    sleep_until(start)
    before = used()
    while (wanted := now()) < until:
        it.acquire()
        got = now()
        work(counter)
        left = now()
        it.release()
        turns.append(f"turn {wanted} {got} {left}\n")
    cpu = used() - before
    with open(log, "w", encoding="ascii") as out:
        out.writelines(turns)
    return f"contended {len(turns)} {cpu}"


def once(it, start, hold):
    sleep_until(int(start))
    wanted = now()
    it.acquire()
    got = now()
    sleep_until(got + int(hold))
    left = now()
    it.release()
    return f"turn {wanted} {got} {left}"


def answer(it, verb, *args):
    if verb == "cycles":
        begun = now()
        for _ in range(int(args[0])):
            it.acquire()
            it.release()
        return f"cycled {now() - begun}"
    if verb == "acquire":
        wanted = now()
        it.acquire()
        return f"acquired {wanted} {now()}"
    if verb == "release":
        began = now()
        it.release()
        ended = now()
        time.sleep(0.002)
        return f"released {began} {ended}"
    if verb == "once":
        return once(it, *args)
    if verb == "contend":
        return contend(it, *args)
    raise ValueError(f"no such command: {verb}")


def main():
    it = subject(*sys.argv[1:])
    for line in sys.stdin:
        try:
            text = answer(it, *line.split())
        except Exception as error:  # Whatever it is, the harness is to know it.
            text = f"failed {error!r}".replace("\n", " ")
        print(text, flush=True)


main()
