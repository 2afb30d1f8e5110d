import signal
import subprocess
import sys
import time

from freewalk.kernels.machine.clock import running_seconds

MEASURE = """
import time
from freewalk.kernels.machine.clock import running_seconds

start, wall = running_seconds(), time.perf_counter()
print("ready", flush=True)
while time.perf_counter() - wall < 4.5:
    sum(range(10_000))
print(running_seconds() - start, time.perf_counter() - wall)
"""


def test_time_in_which_the_process_was_stopped_is_left_out() -> None:
    with subprocess.Popen([sys.executable, "-c", MEASURE], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.5)
        child.send_signal(signal.SIGSTOP)
        time.sleep(3.0)
        child.send_signal(signal.SIGCONT)
        running, wall = map(float, child.communicate(timeout=60)[0].split())
    assert wall - 3.2 < running < wall - 2.5


def test_work_that_holds_the_interpreter_counts() -> None:
    start, wall, work = running_seconds(), time.perf_counter(), time.thread_time()
    while time.perf_counter() - wall < 1.5:
        pow(7, 3_000_000)  # one instruction of the interpreter: no other thread runs meanwhile
    # not the wall's seconds: a machine that stands still as a whole takes them from both
    assert running_seconds() - start > time.thread_time() - work - 0.05


def test_a_thread_that_waits_loses_nothing() -> None:
    start = running_seconds()
    time.sleep(1.5)
    assert running_seconds() - start >= 1.5
