import pytest

from components.data.sources import SOURCES, load_source
from components.errors import InvalidInput


def test_sources_load_under_their_schema():
    options = {"rand_hie": {"years": (2,)}, "multiple_sclerosis": {"rows": 300, "seed": 1, "case_share": 0.3}}
    assert set(options) == set(SOURCES)
    for name, source in SOURCES.items():
        assert load_source(name, **options[name]).schema == source.schema


def test_unknown_source_lists_those_there_are():
    with pytest.raises(InvalidInput, match="'rand'.*multiple_sclerosis, rand_hie"):
        load_source("rand")


def test_unknown_option_and_missing_option():
    with pytest.raises(InvalidInput, match="'rows'.*years"):
        load_source("rand_hie", rows=3)
    with pytest.raises(InvalidInput, match="'seed'"):
        load_source("multiple_sclerosis", rows=3)
