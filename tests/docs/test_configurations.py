"""docs/configurations.md is what the headers of the packaged configurations say."""

from .configurations import PAGE, with_table


def test_the_table_is_up_to_date():
    page = PAGE.read_text()
    assert page == with_table(page), "run: python -m tests.docs.configurations"
