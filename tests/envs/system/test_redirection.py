"""In processes of their own: pytest redirects descriptors itself."""

import subprocess
import sys

BEGINNING = "import os\nfrom calvinbench.envs.system.redirection import STDERR, STDOUT, redirect, redirected\n"


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BEGINNING + script], capture_output=True, text=True, check=True)


def test_output_of_python_and_of_native_code_goes_elsewhere_while_the_block_lasts():
    done = run(
        "print('before')\n"
        "with redirected(STDOUT, STDERR):\n"
        "    print('python')\n"
        "    os.write(1, b'native\\n')\n"
        "with redirected(STDOUT, None):\n"
        "    print('python')\n"
        "    os.write(1, b'native\\n')\n"
        "print('after')\n"
    )
    assert done.stdout == "before\nafter\n"
    assert sorted(done.stderr.split()) == ["native", "python"]


def test_a_process_without_the_descriptor_is_left_alone():
    done = run("os.close(1)\nwith redirected(STDOUT, None):\n    os.write(2, b'went on')\n")
    assert done.stderr == "went on"


def test_a_redirection_can_last():
    done = run("redirect(STDOUT, None)\nprint('nobody reads this')\nos.write(2, b'end')\n")
    assert (done.stdout, done.stderr) == ("", "end")


def test_redirecting_a_closed_descriptor_opens_it():
    done = run("os.close(1)\nredirect(STDOUT, None)\nos.write(1, b'nobody reads this')\nos.write(2, b'end')\n")
    assert done.stderr == "end"
