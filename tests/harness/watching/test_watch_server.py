"""Who is answered and who is not, and that nobody keeps the others waiting."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import Answer, Served, served

from freewalk.harness.watching import server as server_module
from freewalk.results.store.store import Store, TrialRecord

SECRET = "the secret of another folder"


def add(store: Store, n: int, *, ended: bool = True) -> None:
    """Add a trial with this number."""
    trial = f"t{n}"
    store.add_pending([TrialRecord(trial_id=trial, task="xor", method="walk", seed=n, parameters={"stddev": 0.1})])
    store.mark_running([trial])
    if ended:
        store.finish(trial, {"outcome": "reached", "reached": True, "evaluations": 10, "evaluations_to_target": 10})


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        with Store.create(tmp_path / "runs" / name, {}) as store:
            add(store, 0)
    (tmp_path / "secret.txt").write_text(SECRET)
    (tmp_path / "runs" / "a" / "secret.txt").write_text(SECRET)
    return tmp_path / "runs"


@pytest.fixture
def site(runs: Path) -> Iterator[Served]:
    with served(runs) as found:
        yield found


def identifiers(site: Served) -> list[str]:
    return re.findall(r'href="sweep/(\w+)/"', site.ask().text)


def refused(answer: Answer, status: int) -> None:
    """Fail unless an answer shows nothing and says why in a line."""
    assert answer.status == status
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert re.fullmatch(r"[^\n<>]{5,120}\n", answer.text), answer.text
    assert "Traceback" not in answer.text
    checked_headers(answer)


def checked_headers(answer: Answer) -> None:
    headers = answer.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"
    policy = headers["Content-Security-Policy"]
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"):
        assert rule in policy
    assert not re.search(r"script-src[^;]*(unsafe|https?:|\*)", policy)
    assert not [name for name in headers if name.startswith("Access-Control")]
    assert headers["Server"] == "freewalk"


def test_every_page_is_there_for_who_has_the_address(site: Served) -> None:
    one, other = identifiers(site)
    for place in ("", f"sweep/{one}/", f"compare/{one}/{other}/"):
        page = site.ask(place)
        assert page.status == 200, page.text
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        checked_headers(page)
        (nonce,) = set(re.findall(r"'nonce-([\w-]+)'", page.headers["Content-Security-Policy"]))
        scripts = re.findall(r"<(?:script|style)[^>]*>", page.text)
        assert set(scripts) == {f'<script nonce="{nonce}">', f'<style nonce="{nonce}">'}
        assert nonce not in site.ask(place).text, "each answer has its own"
        if place:
            version = site.version_after("", place)
            report = site.ask(f"{place}report")
            assert (report.status, report.headers["ETag"]) == (200, f'"{version}"')
            checked_headers(report)


def test_the_token_is_needed_and_long(site: Served, runs: Path) -> None:
    assert len(site.server.token) >= 32
    wrong = ("x" * len(site.server.token), site.server.token[:-1], f"{site.server.token}x", "", "..", "%00")
    for token in wrong:
        for leaf in ("", "state", "report"):
            refused(site.ask(f"/{token}/{leaf}", rooted=False), 403)
    for path in ("/", "", "*", f"http://127.0.0.1:{site.port}{site.root}", f"/?{site.server.token}"):
        refused(site.ask(path, rooted=False), 403)
    with served(runs) as other:
        assert other.server.token != site.server.token
        refused(other.ask(site.root, rooted=False), 403)


def test_without_its_last_slash_the_address_leads_to_the_page(site: Served) -> None:
    answer = site.ask(site.root.rstrip("/"), rooted=False)
    assert (answer.status, answer.headers["Location"]) == (302, site.root)


@pytest.mark.parametrize("host", [None, "", "evil.example", "127.0.0.1", "127.0.0.1:1", "localhost", "0.0.0.0:{port}"])
def test_another_host_is_refused(site: Served, host: str | None) -> None:
    refused(site.ask(Host=host and host.format(port=site.port)), 403)


def test_this_machine_by_name_is_answered(site: Served) -> None:
    assert site.ask(Host=f"localhost:{site.port}", Origin=f"http://localhost:{site.port}").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "same-origin", "Origin": "http://evil.example"},
    ],
)
@pytest.mark.parametrize("leaf", ["", "state", "report"])
def test_pages_of_others_are_refused(site: Served, headers: dict[str, str], leaf: str) -> None:
    refused(site.ask(leaf, **{name: value.format(port=site.port) for name, value in headers.items()}), 403)


@pytest.mark.parametrize("site_said", ["none", "same-origin"])
def test_our_own_pages_are_answered(site: Served, site_said: str) -> None:
    assert site.ask("state", Sec_Fetch_Site=site_said, Origin=f"http://127.0.0.1:{site.port}").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get"])
def test_there_is_only_something_to_read(site: Served, method: str) -> None:
    answer = site.ask("state", method)
    refused(answer, 405)
    assert answer.headers["Allow"] == "GET, HEAD"
    refused(site.ask("/nothing", method, rooted=False), 403)


def test_head_says_what_get_would(site: Served) -> None:
    (one, _) = identifiers(site)
    site.version_after("", f"sweep/{one}/")
    for path in ("state", f"sweep/{one}/report", "nothing/"):
        head, get = site.ask(path, "HEAD"), site.ask(path)
        assert head.text == ""
        assert head.status == get.status
        assert head.headers["Content-Length"] == str(len(get.text.encode()))
    assert site.ask("", "HEAD", Host="evil.example").status == 403


@pytest.mark.parametrize(
    "path",
    [
        *("../secret.txt", "../../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "a/secret.txt", "secret.txt"),
        *("sweep/a/report", "sweep/../report", "sweep/..%2f..%2fsecret.txt/report", "sweep//report", "sweep/{one}"),
        *(
            "sweep/{one}/../../secret.txt",
            "sweep/{one}/secret.txt",
            "sweep/{one}/report/secret.txt",
            "sweep/{one}x/state",
        ),
        *(
            "compare/{one}/",
            "compare/{one}/nobody/",
            "compare/{one}/{one}/{one}/",
            "state/",
            "report/state",
            "%00",
            "\\..\\",
        ),
        "/etc/passwd",
    ],
)
def test_no_path_leads_anywhere_else(site: Served, path: str) -> None:
    answer = site.ask(path.format(one=identifiers(site)[0]))
    refused(answer, 404)
    assert SECRET not in answer.text


def test_a_list_has_no_report_but_itself(site: Served) -> None:
    refused(site.ask("report"), 503)


def test_what_is_no_request_is_refused_in_a_line(site: Served) -> None:
    for request in (b"GARBAGE\r\n\r\n", b"GET /" + 70000 * b"x" + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
            connection.sendall(request)
            said = connection.makefile("rb").read().decode()
        assert "Traceback" not in said
        assert "<" not in said.partition("\r\n\r\n")[2]
    assert site.state()["kind"] == "list"


def test_a_slow_client_keeps_nobody_waiting_and_is_left(site: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module._Handler, "timeout", 4.0)
    silent = [socket.create_connection(("127.0.0.1", site.port), timeout=60) for _ in range(20)]
    try:
        silent[0].sendall(b"GET / HT")
        assert site.state()["kind"] == "list"
        silent[-1].setblocking(False)
        with pytest.raises(BlockingIOError):  # its time is not over
            silent[-1].recv(10)
        assert silent[0].recv(10) == silent[1].recv(10) == b"", "they are left"
    finally:
        for one in silent:
            one.close()


def test_many_at_once(site: Served) -> None:
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(site.state()["kind"])) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["list"] * 30


def test_only_this_machine_can_connect(site: Served) -> None:
    assert site.server.server_address[0] == "127.0.0.1"
    assert site.url == f"http://127.0.0.1:{site.port}{site.root}"


def test_a_failure_of_ours_is_a_line(site: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.server.views, "find", lambda place: 1 / 0)
    answer = site.ask()
    refused(answer, 500)
    assert "ZeroDivisionError" in answer.text


def test_the_address_is_told_once_and_nothing_else(
    runs: Path, harness: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked, right or wrong, the token is written nowhere but to the one who has started the server."""

    def visit(server: server_module.Server) -> None:
        thread = threading.Thread(target=lambda: server_module.ThreadingHTTPServer.serve_forever(server, 0.02))
        thread.start()
        site = Served(server)
        assert site.ask().status == 200
        assert site.ask("nothing").status == 404
        assert site.ask(f"/{server.token[1:]}/", rooted=False).status == 403
        server.shutdown()
        thread.join()
        raise KeyboardInterrupt

    monkeypatch.setattr(server_module.Server, "serve_forever", visit)
    result = harness("watch", runs)
    assert result.code == 0, "Ctrl-C is how it ends"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32,}/\n", result.out)
    assert result.err == ""
    assert re.fullmatch(r'\{"url": "http://127\.0\.0\.1:\d+/[\w-]{32,}/"\}\n', harness("watch", runs, "--json").out)


def test_a_wrong_folder_or_port_is_a_line(runs: Path, harness: Callable[..., Any]) -> None:
    assert "is a file" in harness("watch", runs / "a" / "secret.txt").err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = harness("watch", runs, "--port", port)
    assert (result.code, result.out) == (2, "")
    assert re.fullmatch(rf"harness: error: --port {port}: .*; leave it away for a free one\n", result.err)
