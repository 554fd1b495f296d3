"""The commands on what a project's store holds besides the log: access keys, and messages that go out."""

from __future__ import annotations

from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import HERE, Json, Project, open_project
from sojourn.errors import Problem, SojournError, nearest
from sojourn.frames import now_us, show_second
from sojourn.server import create_key, rotate_key

SHORT_HELP = "Who may send, read and administer."

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
SCOPES = ("write", "read", "admin")
Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="What the key is called.")]


@app.callback()
def command() -> None:
    """Example: `sojourn keys add website --scope write --project my-shop`

    Keys say who may send calls, read results, or administer. Only a hash of a key is kept.
    """


@app.command("add", short_help="Make a key, and show it once.")
def add_key_command(
    name: Name,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", show_default="write", help="write, read or admin; may be repeated."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            "--text", metavar="KEY", show_default=False, help="A key of another tool that is to go on working."
        ),
    ] = None,
    project: Project = HERE,
    as_json: Json = False,
) -> None:
    """Example: `sojourn keys add website --scope write --project my-shop`

    The key is shown now and never again. A key that may write can be in a web page: it can do nothing else.
    """
    scopes = tuple(dict.fromkeys(scope or ["write"]))
    for one in scopes:
        if one not in SCOPES:
            raise SojournError(Problem("--scope", f"'{one}' is no scope", nearest(one, SCOPES)))
    with open_project(project) as store:
        shown, key = create_key(store, name, scopes, text=text)
    if as_json:
        output.print_json({"key": shown, "id": key.id, "name": key.name, "scopes": key.scopes})
    else:
        output.say(shown)
        output.say_error(f"Key '{key.name}' may {' and '.join(scopes)}. It is not shown again.", is_marked=False)


@app.command("list", short_help="Keys, what they may do, when they were used.")
def list_keys_command(project: Project = HERE, as_json: Json = False) -> None:
    """Example: `sojourn keys list --project my-shop`"""
    with open_project(project) as store:
        keys = store.list_keys()
    if as_json:
        output.print_json(
            [
                {
                    "id": key.id,
                    "name": key.name,
                    "scopes": key.scopes,
                    "created_at": show_second(key.created_at),
                    "last_used_at": show_second(key.last_used_at),
                    "revoked_at": show_second(key.revoked_at),
                }
                for key in keys
            ]
        )
        return
    table = output.make_grid(*((name, "left") for name in ("id", "name", "scopes", "made", "last used", "revoked")))
    for key in keys:
        times = (show_second(at) or "–" for at in (key.created_at, key.last_used_at, key.revoked_at))
        table.add_row(key.id, key.name, " ".join(key.scopes), *times)
    output.open_console().print(table)


@app.command("rotate", short_help="Make a new key in place of one, which ends.")
def rotate_key_command(
    id: Annotated[
        str, typer.Argument(metavar="ID", show_default=False, help="The key's id, as `sojourn keys list` has it.")
    ],
    project: Project = HERE,
    as_json: Json = False,
) -> None:
    """Example: `sojourn keys rotate k1a2b3 --project my-shop`

    The new key has the name and scopes of the old one. The old one ends at once.
    """
    with open_project(project) as store:
        shown, key = rotate_key(store, id)
    if as_json:
        output.print_json({"key": shown, "id": key.id, "name": key.name, "scopes": key.scopes})
    else:
        output.say(shown)


@app.command("revoke", short_help="End a key.")
def revoke_key_command(
    id: Annotated[
        str, typer.Argument(metavar="ID", show_default=False, help="The key's id, as `sojourn keys list` has it.")
    ],
    project: Project = HERE,
    as_json: Json = False,
) -> None:
    """Example: `sojourn keys revoke k1a2b3 --project my-shop`"""
    with open_project(project) as store:
        if not store.revoke_key(id, now_us()):
            near = nearest(id, [key.id for key in store.find_keys()])
            raise SojournError(Problem("keys", f"there is no key '{id}' that is valid", near, "sojourn keys list"))
    if as_json:
        output.print_json({"revoked": id})
    else:
        output.say(f"Key {id} is revoked.")
