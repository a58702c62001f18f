"""bcrypt's own rate: passwords verified in threads, one for each core, and nothing else.

A process of its own, so that it runs on the core on which the servers do: `python -m bench.hashing <hash> <seconds>`.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from passlib.hash import bcrypt_sha256

from bench.data import PASSWORD


def verify_for(seconds: float, hashed: str) -> tuple[int, float]:
    """How many in how many seconds, to the end of the last."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    bcrypt_sha256.verify(PASSWORD, hashed)  # the first one alone has bcrypt try itself out
    begun = time.perf_counter()

    def verify() -> int:
        done = 0
        while time.perf_counter() - begun < seconds:
            bcrypt_sha256.verify(PASSWORD, hashed)
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        counts = [future.result() for future in [pool.submit(verify) for _ in range(threads)]]
    return sum(counts), time.perf_counter() - begun


if __name__ == "__main__":
    done, took = verify_for(float(sys.argv[2]), sys.argv[1])
    sys.stdout.write(f"{done} {took}")
