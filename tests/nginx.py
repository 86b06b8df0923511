"""nginx, which serves ``svc.example`` over TLS with files of the CA's making."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_CONFIGURATION = """\
daemon off;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log info;
events {{}}
http {{
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name svc.example;
        {directives}
    }}
}}
"""


@contextmanager
def nginx(program: str, prefix: Path, port: int, directives: Mapping[str, object]) -> Iterator[list[str]]:
    """nginx listens at ``port``, with these directives for its server; the command that ``-s reload`` goes behind."""
    configuration, log = prefix / "nginx.conf", prefix / "error.log"
    written = "\n        ".join(f"{name} {value};" for name, value in directives.items())
    configuration.write_text(_CONFIGURATION.format(prefix=prefix, port=port, directives=written))
    command = [program, "-p", str(prefix), "-c", str(configuration), "-e", str(log)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_it_listens(process, port, log)
        yield command
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    listening = f"0100007F:{port:04X}"
    for _ in range(200):
        assert process.poll() is None, log.read_text()
        if listening in Path("/proc/net/tcp").read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"nginx does not listen: {log.read_text()}")
