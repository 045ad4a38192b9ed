"""Forked processes behave as `python` does."""

import signal

from tests import processes


def test_a_program_has_its_arguments_place_and_variables(tmp_path):
    code = (
        "import atexit, os, sys; atexit.register(print, 'bye'); "
        "print(sys.argv[1:], os.getcwd(), os.environ['A']); sys.exit('wrong')"
    )
    done = processes.run("-c", code, "--x", 1, cwd=tmp_path, env={"A": "7"})
    assert (done.returncode, done.stderr) == (1, "wrong\n")
    assert done.stdout == f"['--x', '1'] {tmp_path} 7\nbye\n"


def test_a_module_runs_with_tensorflow_at_hand_and_unused():
    done = processes.run("-m", "tests.processes_program")
    assert done.stdout == "True False\n", done.stderr


def test_a_process_is_sent_signals():
    code = "import time; print('on', flush=True); time.sleep(60)"
    for number in (signal.SIGTERM, signal.SIGINT):
        started = processes.start("-c", code)
        assert started.stdout.readline() == "on\n"
        assert started.poll() is None
        started.send_signal(number)
        _, errors = started.communicate(60)
        if number == signal.SIGTERM:
            assert started.returncode == -number
        else:
            assert started.returncode == 1 and "KeyboardInterrupt" in errors


def test_much_output_is_no_hindrance():
    done = processes.run(
        "-c", "import sys; print('x' * 10**6); print('y' * 10**6, file=sys.stderr)"
    )
    assert (len(done.stdout), len(done.stderr)) == (10**6 + 1, 10**6 + 1)
