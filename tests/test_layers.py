"""What may import what, and what may appear in no file of the product: read from the sources, never imported."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("components", "tasks", "flows", "troth")
FILES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))
PYTHON = FILES + sorted(path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))

BELOW = {
    "components": {"components"},
    "tasks": {"components", "tasks"},
    "flows": {"components", "tasks", "flows"},
    "troth": set(LAYERS),
}
ORCHESTRATION = {"prefect", "mlflow"}
CONCEPTS = {
    "data": set(),
    "ledger": {"data"},
    "partition": {"data"},
    "compatibility": {"data"},
    "fairness": {"data"},
    "parties": {"data"},
    "mpc": {"data", "parties"},
    "federated": {"data", "parties"},
    "boosting": {"data", "compatibility", "fairness", "federated", "mpc", "parties", "partition"},
    "encryption": {"boosting", "data"},
    "language": {"data", "compatibility", "privacy"},
    "privacy": {"mpc"},
    "gates": {"data", "compatibility", "fairness"},
    "reporting": {"data", "partition", "compatibility", "fairness", "boosting", "gates"},
}
"""Which other concepts a package of components may use; all use `COMMON`, which use nothing."""
COMMON = {"durable", "errors", "secret_file", "uninterrupted"}
PICKLING = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def imported(path: Path) -> set[str]:
    """Every module a file imports, wherever in the file."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                modules |= {alias.name for alias in names}
            case ast.ImportFrom(module=module, names=names, level=level):
                assert level == 0, f"{path} imports relatively"
                modules |= {module} | {f"{module}.{alias.name}" for alias in names}
    return modules


def tops(path: Path) -> set[str]:
    return {module.partition(".")[0] for module in imported(path)}


def calls(path: Path):
    """(dotted name, keywords) of every call in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_lies_below_it(layer):
    for path in (ROOT / layer).rglob("*.py"):
        ours = tops(path) & set(LAYERS)
        assert ours <= BELOW[layer], short(path)


def test_components_know_neither_prefect_nor_mlflow():
    for path in (ROOT / "components").rglob("*.py"):
        assert not tops(path) & ORCHESTRATION, short(path)


@pytest.mark.parametrize("package", sorted(path.parent.name for path in (ROOT / "components").glob("*/__init__.py")))
def test_components_import_one_another_only_downwards(package):
    allowed = CONCEPTS[package] | COMMON | {package}
    for path in (ROOT / "components" / package).rglob("*.py"):
        used = {module.split(".")[1] for module in imported(path) if module.startswith("components.")}
        assert used <= allowed, short(path)


def test_the_allowed_order_of_components_has_no_circle():
    settled = set()
    while left := CONCEPTS.keys() - settled:
        ready = {package for package in left if CONCEPTS[package] <= settled}
        assert ready, left
        settled |= ready


def test_nothing_is_pickled():
    for path in FILES:
        assert not tops(path) & PICKLING, short(path)
        for name, options in calls(path):
            assert options.get("allow_pickle") in (None, "False"), short(path)
            assert not name.endswith(("read_pickle", "to_pickle")), short(path)
            assert name != "torch.load" or options.get("weights_only") == "True", short(path)
            assert options.get("result_serializer", "'json'") == "'json'", short(path)


def test_code_is_never_made_from_text():
    for path in FILES:
        assert not {"eval", "exec", "yaml.load", "yaml.unsafe_load", "os.system"} & {name for name, _ in calls(path)}, (
            short(path)
        )


def test_keys_come_from_the_operating_system():
    for path in [
        *(ROOT / "components" / "ledger").rglob("*.py"),
        ROOT / "tasks/keys.py",
        ROOT / "components/secret_file.py",
    ]:
        assert not tops(path) & {"random", "numpy"}, short(path)
    for path in FILES:
        assert "random" not in tops(path), short(path)
        drawn = {name for name, _ in calls(path) if name.startswith("np.random.") and "default_rng(" not in name}
        assert drawn <= {"np.random.default_rng"}, f"{short(path)} draws from numpy's global state"


def test_every_module_says_what_it_is():
    for path in FILES:
        assert ast.get_docstring(ast.parse(path.read_text())), short(path)


def test_no_file_grows_beyond_reading():
    for path in PYTHON:
        assert len(path.read_text().splitlines()) <= 400, short(path)


def test_nothing_is_left_to_be_done_and_nothing_speaks_of_where_it_was_made():
    # Put together here, so that this file does not name them itself.
    unwanted = [first + second for first, second in [("TO", "DO"), ("FIX", "ME"), ("/wo", "rk/"), ("/ro", "ot/")]]
    texts = [path for pattern in ("*.md", "*.yaml", "*.toml", "*.j2") for path in ROOT.rglob(pattern)]
    for path in PYTHON + [one for one in texts if not set(one.relative_to(ROOT).parts) & {".troth", ".venv", ".git"}]:
        text = path.read_text()
        assert not [word for word in unwanted if word in text], short(path)
