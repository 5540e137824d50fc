"""The house is as ARCHITECTURE.md draws it: imports point up its list, kernels have twins, names have promises."""

import ast
import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

import clnet

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "clnet"
FILES = sorted(PACKAGE.rglob("*.py"))
KERNELS = sorted((ROOT / "kernels_cl").glob("*.cl"))
ENVIRONMENT = {"CLNET_DEVICE", "CLNET_CACHE", "CLNET_DATA"}
# .cl files without a Python module of their own name
LIBRARIES = {"math.cl": "functions that other families call", "permutation.cl": "the one kernel of ops/random.py"}
# module-level state, each with its reason
STATE = {
    "device.py: _known": "which Device a user's context or queue belongs to, weakly held",
    "device.py: _made": "which Devices a forked process must not use, weakly held",
}


def drawn() -> list[str]:
    """The modules of the picture in ARCHITECTURE.md, lowest first: `  name.py other.py   what it is`, or `name/`."""
    picture = re.search(r"^```\n(.*?)^```", (ROOT / "ARCHITECTURE.md").read_text(), re.DOTALL | re.MULTILINE)
    assert picture, "ARCHITECTURE.md has no picture between ``` lines"
    house = re.search(r"^clnet/.*?\n((?:  .*\n)+)", picture[1], re.MULTILINE)
    assert house, "the picture in ARCHITECTURE.md has no clnet/ with its modules indented below"
    first_columns = re.findall(r"^  (\S+(?: \S+)*)", house[1], re.MULTILINE)
    return [
        name for column in first_columns for name in re.findall(r"\b(\w+)(?:\.py\b|/)", column) if name != "__init__"
    ]


def module_of(file: Path) -> str:
    """clnet/plan/memory.py -> plan"""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(file: Path) -> set[str]:
    """The dotted names that the file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def short(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


def test_every_module_is_drawn():
    modules = {module_of(file) for file in FILES} - {"__init__"}
    assert modules == set(drawn())
    assert len(drawn()) == len(set(drawn()))


@pytest.mark.parametrize("file", [file for file in FILES if module_of(file) != "__init__"], ids=short)
def test_imports_point_up_the_list(file):
    order = drawn()
    own = order.index(module_of(file))
    ours = {name.split(".")[1] for name in imported(file) if name.startswith("clnet.")}
    below = {name for name in ours if name in order and order.index(name) > own}
    assert not below, f"{short(file)} imports {below}, which ARCHITECTURE.md draws below it"


def test_only_one_module_imports_reikna():
    assert [short(file) for file in FILES if any(n.split(".")[0] == "reikna" for n in imported(file))] == [
        "gemm/reikna.py"
    ]


@pytest.mark.parametrize("file", KERNELS, ids=lambda file: file.name)
def test_every_kernel_file_has_its_twin_and_its_reader(file):
    text = "".join(python.read_text() for python in FILES)
    assert f'"{file.name}"' in text, f"nobody reads {file.name}"
    if file.name in LIBRARIES:
        return
    family = "gemm" if file.stem.startswith("gemm_") else re.sub("(_weights)?_(cpu|gpu|tile)$", "", file.stem)
    assert [*PACKAGE.rglob(f"{family}.py"), *PACKAGE.glob(f"{family}/__init__.py")], f"{file.name} has no twin in clnet"


def public(name: str) -> list[tuple[str, object]]:
    """What the module offers: its `__all__`, else what it defines itself."""
    module = importlib.import_module(name)
    own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == name and key[0] != "_"]
    return [(f"{name}.{key}", getattr(module, key, None)) for key in getattr(module, "__all__", own)]


MODULES = ["clnet", "clnet.ops", "clnet.nn", "clnet.losses", "clnet.optim", "clnet.data", "clnet.callbacks"]
PUBLIC = [pair for name in MODULES for pair in public(name)]


@pytest.mark.parametrize(("name", "value"), PUBLIC, ids=[name for name, _ in PUBLIC])
def test_public_names_exist_and_say_what_they_do(name, value):
    assert value is not None, f"{name} is not there"
    if isinstance(value, ModuleType) or callable(value):
        assert (value.__doc__ or "").strip(), f"{name} has no docstring"


def test_public_names_are_sorted_and_complete():
    assert sorted(clnet.__all__) == clnet.__all__
    public_here = {
        name for name, value in vars(clnet).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public_here <= set(clnet.__all__)


@pytest.mark.parametrize("file", FILES, ids=short)
def test_no_state_at_module_level(file):
    """A name in lower case that is bound to something that can change."""
    kinds = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
    makers = {"list", "dict", "set", "defaultdict", "Counter", "deque", "WeakValueDictionary", "WeakKeyDictionary"}
    for node in ast.parse(file.read_text()).body:
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        target = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
        maker = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in makers
        if (isinstance(node.value, kinds) or maker) and not target.isupper() and not target.startswith("__"):
            assert f"{short(file)}: {target}" in STATE


def test_no_other_environment_variables():
    named = {name for file in FILES for name in re.findall(r"\bCLNET_[A-Z]+\b", file.read_text())}
    assert named <= ENVIRONMENT
