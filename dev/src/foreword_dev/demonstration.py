"""What `make run` prints: three buyers at different stages, what they are shown and why, and how to go on."""

from __future__ import annotations

import shlex

import orjson
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from foreword_client import Client, Item, RequestRefused
from foreword_dev.sample_firm import sample_buyers
from foreword_dev.stack import Stack
from foreword_dev.studio_link import studio_address


def show(stack: Stack, client: Client, console: Console) -> None:
    if stack.settings.load_sample:
        for buyer in sample_buyers():
            show_buyer(buyer, client, console)
    _show_addresses(stack, console)


def show_buyer(buyer: dict[str, str], client: Client, console: Console) -> None:
    try:
        answer = client.recommend(user_id=buyer["user_id"], count=3, placement="demonstration")
    except RequestRefused as error:
        console.print(f"[yellow]No recommendation for {buyer['name']}:[/] {error}")
        return
    stage = answer.get("stage")
    console.print()
    console.print(f"[bold]{escape(buyer['name'])}[/] · {escape(buyer['account_id'])}")
    console.print(Padding(f"[dim]{escape(buyer['story'])}[/]", (0, 0, 0, 2)))
    if stage:
        named = f"[bold cyan]{stage['name']}[/] ({stage['confidence']:.0%})"
        console.print(f"  stage: {named} · tier: {answer['meta']['tier']}")
    console.print(Padding(_table(answer["items"]), (0, 0, 0, 2)))


def _table(items: list[Item]) -> Table:
    table = Table.grid(padding=(0, 2))
    for item in items:
        reasons = "; ".join(reason["text"] for reason in item["reasons"][:2])
        table.add_row(
            f"{item['rank']}.",
            f"{escape(item['title'])} [dim]({item['type']})[/]",
            f"[green]{escape(reasons)}[/]",
        )
    return table


def _show_addresses(stack: Stack, console: Console) -> None:
    url = stack.url
    user = sample_buyers()[1]["user_id"] if stack.settings.load_sample else "somebody"
    body = orjson.dumps({"user_id": user, "count": 3}).decode()
    console.print()
    # Printed raw and unwrapped, so that addresses, paths and the command work when pasted.
    for name, address in (
        ("Studio", studio_address(stack)),
        ("API and docs", f"{url}/docs"),
        ("OpenAPI", f"{url}/openapi.json"),
        ("Metrics", f"http://127.0.0.1:{stack.settings.gateway.metrics}/metrics"),
        ("Keys", stack.settings.keys_file),
        ("Logs", stack.settings.logs_dir),
    ):
        print(f"{name:<14}{address}")
    console.print("\nAsk for a recommendation from another shell:\n")
    print(
        f"curl -s {url}/v1/recommendations -H 'Authorization: Bearer {stack.keys['secret']}' "
        f"-H 'Content-Type: application/json' -d {shlex.quote(body)}",
        flush=True,
    )
    console.print("\nCtrl-C stops everything.")
