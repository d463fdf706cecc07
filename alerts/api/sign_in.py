"""The sign-in page: plain HTML in one piece, since nothing else is served before."""

from html import escape
from urllib.parse import quote, urlsplit

from starlette.responses import HTMLResponse

from alerts.console.texts import Language, text

_STYLE = """
:root{color-scheme:light}*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:#eef1f5;color:#1a2433;
font:15px/1.5 "Noto Sans SC","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",system-ui,sans-serif}
main{width:min(380px,calc(100vw - 32px));background:#fff;border:1px solid #d5dbe3;border-radius:8px;
padding:28px 28px 22px;box-shadow:0 8px 24px #1a24330f}
h1{margin:0;font-size:22px;letter-spacing:.02em}h1 small{font-size:14px;color:#5a6779;font-weight:500;
margin-left:8px}p{margin:4px 0 18px;color:#5a6779;font-size:13px}
label{display:block;margin:14px 0 4px;font-size:13px;font-weight:600}
input{width:100%;height:40px;padding:0 12px;border:1px solid #aeb8c5;border-radius:6px;font:inherit;
background:#fff;color:inherit}
input:focus,button:focus-visible,a:focus-visible{outline:2px solid #1657b8;outline-offset:1px}
button{width:100%;height:42px;margin-top:20px;border:0;border-radius:6px;background:#1657b8;color:#fff;
font:inherit;font-weight:600;cursor:pointer}button:hover{background:#0f4596}
.wrong{margin:14px 0 0;padding:8px 12px;border-left:4px solid #b3261e;background:#fbeceb;color:#7d1a14;
font-size:13px}footer{display:flex;justify-content:space-between;margin-top:18px;font-size:12px;color:#5a6779}
a{color:#1657b8}
"""


def page(
    language: Language,
    wanted: str | None,
    name: str = "",
    wrong: str = "",
    status: int = 200,
    **values: object,
) -> HTMLResponse:
    """The form. wanted: the page to go to afterwards. wrong: key of a text that says what was wrong."""

    def say(key: str, **others: object) -> str:
        return escape(text(language, key, **others))

    other = language.other
    here = f"/sign-in?next={quote(safe_path(wanted), safe='')}&language={other.value}"
    alert = f'<div class="wrong" role="alert">{say(wrong, **values)}</div>' if wrong else ""
    switch = f'<a href="{escape(here)}" lang="{other.tag}">{other.own_name}</a>'
    focus_name, focus_password = ("", " autofocus") if name else (" autofocus", "")
    body = f"""<!doctype html>
<html lang="{language.tag}"><head><meta charset="utf-8"><title>{say("sign_in.title")} · {say("brand")}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><style>{_STYLE}</style></head><body><main>
<h1>{say("brand")}<small>{say("brand.sub")}</small></h1><p>{say("sign_in.hint")}</p>
<form method="post" action="/sign-in?language={language.value}">
<input type="hidden" name="next" value="{escape(safe_path(wanted))}">
<label for="name">{say("sign_in.name")}</label>
<input id="name" name="name" value="{escape(name)}" maxlength="64" autocomplete="name" required{focus_name}>
<label for="password">{say("sign_in.password")}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required{focus_password}>
{alert}<button type="submit">{say("sign_in.button")}</button></form>
<footer><span>{say("sign_in.where")}</span>{switch}</footer>
</main></body></html>"""
    return HTMLResponse(body, status)


def safe_path(path: str | None) -> str:
    """A path of ours to go to; ``/`` for anything that could lead elsewhere."""
    if not path or not path.startswith("/") or path.startswith(("//", "/\\")) or set(path) & set("\r\n\t\\"):
        return "/"
    try:
        parts = urlsplit(path)
    except ValueError:
        return "/"
    return path if not parts.scheme and not parts.netloc else "/"
