"""A process of `test_work`: `python claim_until_empty.py URL OWNER` prints what it claimed until nothing was left."""

import sys
import threading

from sqlalchemy import text

from afina.errors import Unavailable
from afina.store import work
from afina.store.database import Database


def main(url: str, owner: str) -> None:
    database = Database(url)
    threads = [
        threading.Thread(target=claim_all, args=(database, f"{owner}-{number}")) for number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def claim_all(database: Database, owner: str) -> None:
    while True:
        try:
            with database.system() as system:
                claim = work.claim(system, owner, ["train"], lease_seconds=3600.0)
        except Unavailable:
            continue  # many writers, one lock: ask again, as a worker does
        if claim is None and is_empty(database):
            return
        if claim is not None:
            print(f"{claim.subject}\n", end="", flush=True)


def is_empty(database: Database) -> bool:
    with database.system(read=True) as system:
        waiting = text("SELECT count(*) FROM work WHERE lease_until IS NULL")
        return system.connection.execute(waiting).scalar_one() == 0


if __name__ == "__main__":
    main(*sys.argv[1:])
