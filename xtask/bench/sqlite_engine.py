"""Measures SQLite alone: runs the statements of a script on several connections.

Usage: sqlite_engine.py SCRIPT DATABASE CONNECTIONS SECONDS [NAME=VALUE ...]
Prints RESULT done=N failed=N seconds=S; an UPDATE that changes no row failed. The statements run on a copy of DATABASE, because the shop locks the original.
The sqlite3 module prepares each statement once. Commits are as durable as those of the shop (WAL, synchronous=FULL).
If the script writes, only one connection at a time runs it, because SQLite allows only one writer.
"""

import os
import random
import sqlite3
import sys
import tempfile
import threading
import time


def statements(path):
    """Returns the statements of a script, each of which is one line."""
    lines = [line.strip().rstrip(";") for line in open(path, encoding="utf-8")]
    script = [line for line in lines if line and not line.startswith("--")]
    if any(line.startswith(("INSERT", "UPDATE")) for line in script):
        script = ["BEGIN IMMEDIATE" if line == "BEGIN" else line for line in script]
    return script


def main():
    path, database, connections, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    given = dict(pair.split("=", 1) for pair in sys.argv[5:])
    script = statements(path)
    writes = "BEGIN IMMEDIATE" in script
    with tempfile.TemporaryDirectory(dir=os.path.dirname(database)) as directory:
        copy = os.path.join(directory, "bare.db")
        sqlite3.connect(database).execute("VACUUM INTO ?", (copy,))
        measure(script, copy, connections, seconds, given, writes)


def measure(script, database, connections, seconds, given, writes):
    lock = threading.Lock()
    counts, failures, end = [0] * connections, [0] * connections, time.monotonic() + seconds

    def work(number):
        conn = sqlite3.connect(database, isolation_level=None, timeout=10, check_same_thread=False)
        conn.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;")
        dice = random.Random()
        while time.monotonic() < end:
            # As the ids of the shop do, `fresh` begins with a time and ends with random digits.
            values = dict(given, fresh=f"{time.time_ns():016x}{dice.getrandbits(64):016x}",
                          token=f"{dice.getrandbits(128):032x}", s=dice.randint(1, 20))
            if writes:
                lock.acquire()
            try:
                for statement in script:
                    cursor = conn.execute(statement, values)
                    if not cursor.fetchall() and statement.startswith("UPDATE"):
                        failures[number] += cursor.rowcount != 1
            finally:
                if writes:
                    lock.release()
            counts[number] += 1
        conn.close()

    started = time.monotonic()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"RESULT done={sum(counts)} failed={sum(failures)} seconds={time.monotonic() - started:.3f}")


main()
