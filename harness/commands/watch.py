"""`harness watch`: a sweep's report in the browser while the sweep runs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.kinds import SweepFolder
from freewalk.harness.commands.options import json_option, open_in_browser, option, say


@click.command("watch", cls=Command)
@click.argument("folder", metavar="[DIR]", default="runs", type=SweepFolder())
@option("--port", type=click.IntRange(1, 65535), metavar="N", help="Port to listen on.  [default: a free one]")
@option("--open", "show", is_flag=True, help="Open the page in the browser.")
@json_option("the address, instead of a line.")
def command(folder: str, port: int | None, show: bool, as_json: bool) -> int:
    """Serve the report of a sweep on this machine; it updates itself while the sweep runs.

    DIR is the folder of a sweep, a tuning's, or one of several sweeps (default: runs); it may still be empty, or not be
    there yet. Only this machine is answered, and only who knows the address that is printed. Ctrl-C ends it.
    """
    from freewalk.harness.watching.pages import Pages
    from freewalk.harness.watching.server import Server
    from freewalk.harness.watching.views import Views

    directory = Path(folder)
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file; give the folder of a sweep, or of several")
    pages = Pages()
    try:
        try:
            server = Server(Views(directory, pages), port or 0)
        except OSError as error:
            raise UsageError(f"--port {port}: {error.strerror}; leave it away for a free one") from None
        with server:
            click.echo(json.dumps({"url": server.url}) if as_json else server.url)
            if not directory.exists():
                say(f"{directory} is not there yet; the page waits for it")
            if show:
                open_in_browser(server.url)
            server.serve_forever()
    except KeyboardInterrupt:
        pass  # which is how it ends
    finally:
        pages.close()
    return 0
