"""From what a person typed to the typed parameters of a flow, with one sentence where it makes no sense."""

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from components.boosting.candidates import CandidatePlan
from components.boosting.federated.noise import SumNoise
from components.boosting.parameters import BoostingParameters
from components.data.schema import first_finding, read_yaml, validated
from components.errors import InvalidInput
from components.federated.selection import Selection
from components.partition import PartitionPlan
from tasks.inputs import Apart, MultipleSclerosis, OwnTable, RandHie, Source, two_sides

_PLAN = TypeAdapter(PartitionPlan)


def source_of(
    name: str | None,
    data: Path | None,
    schema: Path | None,
    years: str | None,
    rows: int | None,
    parties: Path | None = None,
    cases: str | None = None,
) -> Source:
    """The data a command line names: a table of the caller's own, owners apart, or a source that comes with Troth."""
    if parties is not None:
        for option, given in (("--data", data), ("--source", name)):
            if given is not None:
                raise InvalidInput(f"both --parties {parties} and {option} {given} are given; use one")
        _leave_out(years, rows, cases, used="--parties")
        if schema is None:
            raise InvalidInput(f"--parties {parties} needs --schema FILE.yaml, the schema all owners agreed to")
        return Apart(parties=str(parties.expanduser().resolve()), schema_file=str(schema.expanduser().resolve()))
    if data is not None:
        if name is not None:
            raise InvalidInput(f"both --data {data} and --source {name} are given; use one")
        _leave_out(years, rows, cases, used="--data")
        if schema is None:
            raise InvalidInput(f"--data {data} needs --schema FILE.yaml; 'troth data schema {data}' drafts one")
        return OwnTable(path=str(data.expanduser().resolve()), schema_file=str(schema.expanduser().resolve()))
    if schema is not None:
        raise InvalidInput(f"--schema {schema} goes with --data FILE or --parties DIR; the sources bring their own")
    match name or "rand_hie":
        case "rand_hie" | "rand_hie_by_site" as known:
            _leave_out(None, rows, cases, used=known)
            chosen = RandHie(site=known == "rand_hie")
            return chosen if years is None else chosen.model_copy(update={"years": _years(years)})
        case "multiple_sclerosis":
            _leave_out(years, None, None, used="multiple_sclerosis")
            given = {"rows": rows, "case_share": cases}
            given = {key: value for key, value in given.items() if value is not None}
            if cases == "population":
                given["case_share"] = None
            return validated(MultipleSclerosis, given, "--source multiple_sclerosis")
        case other:
            raise InvalidInput(
                f"source '{other}' does not exist; use rand_hie, rand_hie_by_site or multiple_sclerosis, or --data FILE"
            )


def partition_of(text: str, source: Source) -> PartitionPlan:
    """A plan from its short form (`single`, `even:3`, `by:site`, `vertical`, …) or from a YAML file."""
    kind, *rest = text.split(":")
    try:
        match kind, rest:
            case "single", []:
                return _PLAN.validate_python({"kind": "single"})
            case "even", [owners]:
                return _PLAN.validate_python({"kind": "even", "owners": owners})
            case "by", [column]:
                return _PLAN.validate_python({"kind": "by_column", "column": column})
            case "label_skew" | "quantity_skew", [owners, alpha]:
                return _PLAN.validate_python({"kind": kind, "owners": owners, "alpha": alpha})
            case "crowd", [owners, *skew] if len(skew) <= 1:
                return _PLAN.validate_python({"kind": "crowd", "owners": owners, **({"skew": skew[0]} if skew else {})})
            case "vertical", []:
                return _PLAN.validate_python({"kind": "vertical", "columns": two_sides(source)})
        if text.endswith((".yaml", ".yml")):
            return _PLAN.validate_python(read_yaml(Path(text), what="partition"))
    except ValidationError as error:
        raise InvalidInput(first_finding(error, f"--partition {text}", tagged=True)) from None
    raise InvalidInput(
        f"--partition {text} is not known; use single, even:3, by:site, label_skew:3:0.5, "
        "quantity_skew:3:1.0, crowd:100000, vertical, or a YAML file"
    )


def selection_of(text: str, seed: int) -> Selection:
    """Which owners take part in a round, from `50`, `50:activity` or `50:mixture:0.3`."""
    owners, *rest = text.split(":")
    given: dict[str, object] = {"owners": owners, "seed": seed}
    match rest:
        case [by]:
            given["by"] = by
        case ["mixture", share]:
            given |= {"by": "mixture", "uniform_share": share}
        case [_, *_]:
            raise InvalidInput(f"--select {text} is not known; write it like 50, 50:activity or 50:mixture:0.3")
    return validated(Selection, given, f"--select {text}")


def noise_of(text: str) -> SumNoise:
    """Noise on sums, from `4:1e-5` or, with the rows of one person, `4:1e-5:5`."""
    given = dict(zip(("epsilon", "delta", "rows"), text.split(":"), strict=False))
    if not 2 <= text.count(":") + 1 <= 3:
        raise InvalidInput(f"--noise {text} is not known; write epsilon:delta, like 4:1e-5, or 4:1e-5:5 with rows")
    return validated(SumNoise, given, f"--noise {text}")


def candidates_of(text: str) -> CandidatePlan:
    """What to try besides the plain retrain, from `blend,warm_start` or `none`."""
    kinds = [] if text == "none" else [kind.strip() for kind in text.split(",")]
    return validated(CandidatePlan, {"kinds": kinds}, f"--candidates {text}")


def training_of(assignments: list[str], seed: int) -> BoostingParameters:
    """Training parameters from `--set name=value`."""
    given: dict[str, object] = {"seed": seed}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise InvalidInput(f"--set {assignment} has no '='; write it like --set max_depth=3")
        given[name.strip()] = value.strip()
    return validated(BoostingParameters, given, "--set")


def _leave_out(years: str | None, rows: int | None, cases: str | None, *, used: str) -> None:
    simulated = "multiple_sclerosis"
    for option, given, source in (
        ("--years", years, "rand_hie"),
        ("--rows", rows, simulated),
        ("--cases", cases, simulated),
    ):
        if given is not None:
            raise InvalidInput(f"{option} {given} goes with --source {source}, not with {used}; leave it out")


def _years(text: str) -> tuple[int, ...]:
    try:
        first, _, last = text.partition("-")
        years = tuple(range(int(first), int(last or first) + 1))
    except ValueError:
        years = ()
    if not years or not set(years) <= {1, 2, 3, 4, 5}:
        raise InvalidInput(f"--years {text} is not a span of study years; use one of 1 to 5, or a span such as 1-3")
    return years
