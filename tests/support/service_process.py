"""The service as a process of its own, for tests that look at it from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT


@dataclass
class Service:
    """A running `python -m service`, and what it logged."""

    process: subprocess.Popen[str]
    spool: Path
    url: str = ""
    lines: list[str] = field(default_factory=list)
    _grew: threading.Condition = field(default_factory=threading.Condition)

    def collect(self) -> None:
        assert self.process.stderr
        with self.process.stderr as log:
            for line in log:
                with self._grew:
                    self.lines.append(line)
                    self._grew.notify_all()
        with self._grew:
            self.lines.append("<end>")
            self._grew.notify_all()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first log line that matches; fails where the log ends without one."""

        def find() -> re.Match[str] | None:
            return next((match for line in self.lines if (match := re.search(pattern, line))), None)

        with self._grew:
            self._grew.wait_for(lambda: find() or "<end>" in self.lines, timeout=120)
        found = find()
        assert found, "".join(self.lines)
        return found

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


def start(spool: Path, *command: str, **settings: str) -> Service:
    """Start it, or another command that serves; without the drain's delay, and on a free port."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("C3D_")}
    environment |= {"C3D_PORT": "0", "C3D_HOST": "127.0.0.1", "C3D_SPOOL_DIR": str(spool), "C3D_DRAIN_DELAY_S": "0"} | settings
    process = subprocess.Popen(
        [sys.executable, *(command or ("-m", "service"))],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    service = Service(process, spool)
    threading.Thread(target=service.collect, daemon=True).start()
    service.url = service.wait_for(r"running on (http://[\w.:-]+)")[1]
    return service
