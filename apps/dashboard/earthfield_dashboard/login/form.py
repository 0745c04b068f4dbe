"""The page on which people log in: plain HTML, readable without scripts, small enough for a phone."""

from __future__ import annotations

import base64
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote

_ICON = Path(__file__).parents[1] / "static" / "earthfield" / "icon.png"

_STYLE = """
  *{box-sizing:border-box}
  body{margin:0;min-height:100vh;display:flex;align-items:center;justify-content:center;padding:1rem;
    background:#f1f5f3;color:#16241f;font:1rem/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
  main{width:100%;max-width:24rem;background:#fff;border:1px solid #cbd6d1;border-radius:.6rem;padding:1.8rem}
  img{width:40px;height:40px;vertical-align:middle;margin-right:.6rem}
  h1{font-size:1.4rem;margin:0 0 1.2rem}
  label{display:block;font-weight:600;margin-bottom:.3rem}
  input,button,a.way{display:block;width:100%;font:inherit;border-radius:.4rem;padding:.65rem .8rem}
  input{border:1px solid #6b7d75;background:#fff;color:inherit}
  button,a.way{margin-top:1rem;border:1px solid #0b6b50;background:#0b6b50;color:#fff;font-weight:600;
    cursor:pointer;text-align:center;text-decoration:none}
  a.way.second{background:#fff;color:#0b6b50}
  button:hover,a.way:hover{filter:brightness(1.1)}
  :focus-visible{outline:3px solid #d98300;outline-offset:2px}
  p.wrong{border-left:4px solid #a32020;background:#fdf3f2;margin:0 0 1rem;padding:.5rem .8rem}
  p.about{margin:1.2rem 0 0;font-size:.9rem;color:#43544d}
"""


def form(there: str, words: str, *, with_password: bool, provider: str | None) -> str:
    """Gives the page.

    Args:
        there: path of the dashboard that people go to afterwards.
        words: what went wrong, empty where nothing did.
        with_password: whether a password opens it.
        provider: host that lets people in too.
    """
    query = f"?next={quote(there)}" if there != "/" else ""
    wrong = f'<p class="wrong" role="alert">{escape(words)}</p>' if words else ""
    parts = [wrong]
    if with_password:
        about = ' aria-invalid="true"' if words else ""
        parts.append(
            f'<form method="post" action="/login{query}"><label for="password">Password</label>'
            f'<input id="password" name="password" type="password" autocomplete="current-password" required '
            f'maxlength="1024" autofocus{about}><button type="submit">Log in</button></form>'
        )
    if provider:
        kind = "way second" if with_password else "way"
        parts.append(f'<a class="{kind}" href="/login/provider{query}">Log in with {escape(provider)}</a>')
    about = "Whoever runs this dashboard can give you the password." if with_password else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Log in - Earthfield</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="{_icon()}"><style>{_STYLE}</style></head><body><main>'
        f'<h1><img src="{_icon()}" alt="">Earthfield</h1>{"".join(parts)}'
        f"{f'<p class=about>{about}</p>' if about else ''}</main></body></html>"
    )


@cache
def _icon() -> str:
    return f"data:image/png;base64,{base64.b64encode(_ICON.read_bytes()).decode()}"
