"""What bench.corpus and bench.overload --crowds make of what they saw."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from bench.corpus import rate
from bench.crowds import Probes


def test_the_rate_is_that_of_the_time_in_which_all_networks_worked(tmp_path: Path) -> None:
    (tmp_path / "early").write_text("100 102 4\n102 104 4\n104 106 4\n")
    (tmp_path / "late").write_text("103 105 4\n105 107 4\n")
    found = rate(tmp_path, 2, began=90)
    assert found.start_s == 13
    assert found.clips_per_s == pytest.approx((2 + 4 + 4 + 2) / 3)  # 103 to 106; half of a run counts by half


def test_a_network_that_never_worked_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("100 102 4\n")
    with pytest.raises(RuntimeError, match="1 networks worked, not 2"):
        rate(tmp_path, 2, began=90)


def test_probes_count_what_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Probes(server.getsockname()[1]) as probes:
        answers = iter([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", b""])

        def serve() -> None:
            for answer in answers:
                client, _ = server.accept()
                with client:
                    client.recv(1000)
                    client.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        serving.join()
        server.close()  # who waits for it is refused
    assert probes.num_failed >= 2
    assert probes.told().startswith(f"{len(probes.seconds)} probes, {probes.num_failed} failed: p50 ")
