"""What is told of py-spy's samples."""

from bench.profile import read, told

RAW = """\
main (bench/server.py:1);execute (executor/plan.py:20);fetch (asyncpg/pool.py:7) 30
main (bench/server.py:1);execute (executor/plan.py:20) 60
main (bench/server.py:1);write (uvicorn/http.py:3) 10
_bootstrap (threading.py:1);_worker (concurrent/futures/thread.py:69) 900
"""


def test_time_is_told_by_package_and_by_function() -> None:
    by_package, itself, with_calls = told(read(RAW), most=5).split("function, ")

    assert by_package.rstrip().splitlines() == [
        "package, itself",
        "  60.0%  executor",
        "  30.0%  asyncpg",
        "  10.0%  uvicorn",
    ]
    assert "  60.0%  execute (executor/plan.py:20)" in itself
    assert "  90.0%  execute (executor/plan.py:20)" in with_calls


def test_what_started_the_server_and_who_waits_for_work_are_left_out() -> None:
    said = told(read(RAW), most=50)

    assert "_worker" not in said
    assert "main" not in said
