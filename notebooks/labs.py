"""Makes, runs and addresses the notebooks; the Makefile's targets call it.

  python notebooks/labs.py build            # NAME.py -> NAME.ipynb, without outputs
  python notebooks/labs.py run [PART ...]   # executes them, offline: make labs
  python notebooks/labs.py address URL      # make address URL=https://github.com/…

A notebook is written as NAME.py (jupytext's percent format) and never as .ipynb. What
`run` executes, lab by lab with its solution, is kept in mine/labs/ with its outputs.
"""

import re
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LABS = sorted(HERE.glob("[0-9]_*.py"))
SOLUTIONS = [HERE / "solutions" / path.name for path in LABS]
SOURCES = [HERE / "colab.py", *LABS, *SOLUTIONS]
KEPT = ROOT / "mine" / "labs"
COLAB = "https://colab.research.google.com"


def notebook(source):
    """Returns the notebook of a source, as text and with the same ids every time.

    Args:
        source: `Path` of the .py file.
    """
    import jupytext
    import nbformat

    read = jupytext.read(source)
    read.metadata.pop("jupytext", None)
    read.nbformat, read.nbformat_minor = 4, 5
    for number, cell in enumerate(read.cells):
        cell["id"] = f"cell-{number}"
    return nbformat.writes(read) + "\n"


def build():
    for source in SOURCES:
        source.with_suffix(".ipynb").write_text(notebook(source), "utf-8")
    print(f"Wrote {len(SOURCES)} notebooks")


def run(parts):
    """Executes every lab, and its solution after it, as a reader would.

    Args:
        parts: Texts; only notebooks whose name holds one of them. All, where empty.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    failed = []
    for source in [path for pair in zip(LABS, SOLUTIONS, strict=True) for path in pair]:
        name = source.relative_to(HERE).with_suffix("")
        if parts and not any(part in str(name) for part in parts):
            continue
        began, said = time.perf_counter(), "complete"
        read = nbformat.reads(notebook(source), as_version=4)
        place = {"metadata": {"path": str(source.parent)}}
        client = NotebookClient(
            read,
            timeout=900,
            kernel_name="python3",
            resources=place,
            # No warning that the kernel's ports, which are this machine's, are plain.
            extra_arguments=["--IPKernelApp.log_level=40"],
        )
        try:
            client.execute()
        except CellExecutionError as error:
            failed.append(str(name))
            said = f"failed: {error.ename}: {error.evalue}"
        kept = (KEPT / name).with_suffix(".ipynb")
        kept.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(read, kept)
        seconds = time.perf_counter() - began
        print(f"{name}: {said}, {seconds:.0f} s, {kept}", flush=True)
    if failed:
        sys.exit(f"labs.py: {', '.join(failed)} failed")


def address(url, root=ROOT):
    """Writes the repository's address where a reader outside of a clone needs it.

    Args:
        url: Of the repository: `https://…`, without `.git` or with it.
        root: `Path` of the collection.

    Raises:
        ValueError: If it is none.
    """
    url = url.removesuffix("/").removesuffix(".git")
    if not re.fullmatch(r"https://[\w.-]+(/[\w.~-]+)+", url):
        raise ValueError(f"received {url!r}, expected https://HOST/OWNER/REPOSITORY")
    for source in sorted((root / "notebooks").glob("**/*.py")):
        if source.name != Path(__file__).name:
            _put(source, r'^ADDRESS = ".*?"', f'ADDRESS = "{url}"')
    _put(root / "CITATION.cff", r"^(repository-code: .*\n)?(?=license:)",
         f"repository-code: {url}\n")  # fmt: skip
    place = url.removeprefix("https://github.com/")
    link = f"{COLAB}/github/{place}/blob/main/notebooks/1_memorize.ipynb"
    badge = f"[![Open in Colab]({COLAB}"
    badge += f"/assets/colab-badge.svg)]({link})\n\n"
    # Colab opens what lies on GitHub; for other hosts there is no badge.
    _put(root / "README.md", r"^(# .*\n\n)(\[!\[Open in Colab.*\n\n)?",
         rf"\1{badge if place != url else ''}")  # fmt: skip


def _put(path, pattern, text):
    old = path.read_text("utf-8")
    new, found = re.subn(pattern, text, old, count=1, flags=re.MULTILINE)
    if not found:
        raise ValueError(f"{path} has no place for the address ({pattern})")
    path.write_text(new, "utf-8")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["build"]:
            build()
        case ["run", *parts]:
            run(parts)
        case ["address", url] if url:
            try:
                address(url)
            except ValueError as error:
                sys.exit(f"labs.py: {error}")
            build()
        case ["--help"]:
            print(__doc__)
            sys.exit(0)
        case _:
            sys.exit(__doc__)
