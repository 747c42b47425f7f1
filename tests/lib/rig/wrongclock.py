"""A wall clock that is wrong for one host's PHP: a preloaded clock_gettime() and its friends, set while they run."""
import os
import subprocess

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wrongclock.c")


class WrongClock:
    """environment() is for Host; set(seconds) moves its clock from now on."""

    def __init__(self, folder):
        self._library = os.path.join(folder, "wrongclock.so")
        self._file = os.path.join(folder, "wrongclock.offset")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", self._library, SOURCE], check=True)
        self.set(0)

    def environment(self):
        return {"LD_PRELOAD": self._library, "WRONG_CLOCK_FILE": self._file}

    def set(self, seconds):
        # In place, never shorter: whoever has it mapped reads it while it changes.
        mode = "r+b" if os.path.exists(self._file) else "w+b"
        with open(self._file, mode) as file:
            file.write(int(seconds * 1e9).to_bytes(8, "little", signed=True))
        os.chmod(self._file, 0o644)
