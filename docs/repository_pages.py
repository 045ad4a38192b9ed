"""Makes pages of the site from files outside docs/, so that no text exists twice.

The pages that `nav` names but docs/ does not have are files of the repository: results/results.md,
CONTRIBUTING.md and so on; README.md is the start page. Files that any page links to (pictures,
scripts, tables of benchmarks) become part of the site as well. Links in Markdown are those of the
repository, as a code host shows it; they are rewritten to those of the site.
"""

import os
import pathlib
import re
from collections.abc import Iterator

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).resolve().parents[1]
_START = "README.md"
# Fenced code, in which nothing is a link, or a link: its text's end, target and anchor.
_LINK = re.compile(r"^```.*?^```|(\]\()([^)#\s]+)((?:#[^)]*)?\))", re.M | re.S)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files of the repository that the navigation names or a page links to."""
    in_nav = set(_leaves(config.nav))
    waiting = [_source(uri) for uri in in_nav]
    seen = set()
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        uri = _uri(path)
        if uri not in files.src_uris:
            level = InclusionLevel.INCLUDED if uri in in_nav else InclusionLevel.NOT_IN_NAV
            files.append(File.generated(config, uri, abs_src_path=str(path), inclusion=level))
        if path.suffix == ".md":
            waiting += [path.parent.joinpath(m[2]).resolve() for m in _links(path.read_text())]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrites links, and code in tables: GitHub wants `|` escaped there, Python-Markdown not."""
    source = _source(page.file.src_uri)

    def rewritten(match: re.Match[str]) -> str:
        if match[2] is None or ":" in match[2]:
            return match[0]
        target = source.parent.joinpath(match[2]).resolve()
        if not target.is_file() or not target.is_relative_to(ROOT):
            return match[0]  # MkDocs reports it
        link = os.path.relpath(_uri(target), pathlib.PurePosixPath(page.file.src_uri).parent)
        return f"{match[1]}{link}{match[3]}"

    markdown = _LINK.sub(rewritten, markdown)
    rows = re.compile(r"^\|.*\|$", re.M)
    code = re.compile(r"`[^`]*`")
    return rows.sub(lambda row: code.sub(lambda m: m[0].replace("\\|", "|"), row[0]), markdown)


def _links(markdown: str) -> Iterator[re.Match[str]]:
    return (m for m in _LINK.finditer(markdown) if m[2] is not None and ":" not in m[2])


def _leaves(nav: object) -> Iterator[str]:
    """Yields the pages of a navigation."""
    if isinstance(nav, str):
        yield nav
    for entry in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _leaves(entry)


def _source(uri: str) -> pathlib.Path:
    """Returns the file of the repository that a page is made from."""
    own = ROOT / "docs" / uri
    return ROOT / _START if uri == "index.md" else own if own.exists() else ROOT / uri


def _uri(path: pathlib.Path) -> str:
    """Returns the place in the site of a file of the repository."""
    uri = path.relative_to(ROOT).as_posix()
    return "index.md" if uri == _START else uri.removeprefix("docs/")
