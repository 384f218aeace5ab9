"""The messages between the batch shell and the user's shell, however slowly they arrive.

Why earlier tests did not see the fault: a message is written at once and read within the half second that a read waits,
except on a busy machine. There the rest of a cut message was taken for another one, and both shells waited for each other.
"""

from __future__ import annotations

from tests.support.bash_functions import bash

# a user's shell whose messages arrive in parts
SET_UP = """
install_traps
trap - EXIT
print_user_program() { :; }
print_own_program() { :; }
become_user_shell() { %s; }
fail() { echo "failed: $*"; exit 1; }
set_up_environment
echo "$ACCELERATE_GRADIENT_ACCUMULATION_STEPS $PWD"
kill "$user_shell"
"""


def set_up(user_shell: str) -> tuple[int, str]:
    """Return the exit code and the output of a setup with this shell of the user."""
    done = bash(f"exec 2>&1\n{SET_UP % user_shell}")
    return done.returncode, done.stdout


def test_a_message_that_arrives_in_parts() -> None:
    """The parts of a message are put together, also over several reads."""
    parts = ["step on", "e\\0rea", "dy 4 /", "usr\\0"]
    text = "; sleep 0.7; ".join(f"printf '{part}'" for part in parts)
    assert set_up(f"{text}; exec sleep 60") == (0, "4 /usr\n")


def test_a_message_that_is_cut_by_the_end() -> None:
    """What the shell began last is the reason; a part of a message is not."""
    assert set_up("printf 'step one\\0rea'; sleep 0.7; exit 3") == (1, "failed: one\n")


def test_a_shell_that_closes_its_output_and_waits() -> None:
    """The attempt fails instead of waiting for a shell that waits for the next program."""
    code, output = set_up("exec >&-; cat > /dev/null")
    assert (code, output) == (1, "failed: exit code 0 while the environment was set up\n")
