"""What a missing column may have been called, told only where the file's first line is a header."""

from components.data.finding import suggestion

WANTED = ("sex", "stage", "outcome")


def test_a_header_is_repeated_and_the_likeliest_name_alone_where_there_is_one():
    assert "'stagee'" in suggestion("stage", ["sex", "stagee", "outcome"], taken=WANTED)
    assert "'STAGE '" in suggestion("stage", ["STAGE "], taken=WANTED)
    assert "'visits'" in suggestion("stage", ["sex", "visits"], taken=WANTED)


def test_values_under_no_header_are_not_repeated():
    for values in (["anna", "stag", "1"], ["sexx"]):
        told = suggestion("stage", values, taken=WANTED)
        assert not any(value in told.split() or f"'{value}'" in told for value in values[:2])
        assert str(len(values)) in told


def test_where_nothing_is_known_of_the_columns_they_are_listed():
    assert "'visits'" in suggestion("stage", ["visits"])
