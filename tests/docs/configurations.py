"""Makes the table of docs/configurations.md from the headers of the packaged configurations.

From the root of the repository: `python -m tests.docs.configurations` rewrites it.
"""

from pathlib import Path

import compare_gan
from compare_gan.config.catalogue import further_needs
from compare_gan.config.recipes import Configuration, configurations, methods, parts
from compare_gan.core.words import listed

PAGE = Path(compare_gan.__file__).parents[1] / "docs" / "configurations.md"
BEGIN, END = "<!-- table: python -m tests.docs.configurations -->\n", "<!-- end of table -->\n"


def table() -> str:
    """Three Markdown tables: complete configurations, halves, methods and parts."""
    found = sorted(configurations().values(), key=lambda each: (each.side or 0, each.name))
    complete = [each for each in found if each.combine_with is None]
    halves = [each for each in found if each.combine_with is not None]
    lines = [
        "| configuration | images | memory | time | score | settings |",
        "|---|---|---|---|---|---|",
        *(f"{row(each)} {score(each)} | {each.settings} |" for each in complete),
        "",
        "Some need more:",
        "",
        *(
            f"- {listed([f'`{name}`' for name in names])}: {needs}."
            for needs, names in further_needs().items()
        ),
        "",
        "Networks and training without a choice of labels:",
        "",
        "| configuration | images | memory | time | what |",
        "|---|---|---|---|---|",
        *(f"{row(each)} {each.title} |" for each in halves),
        "",
        "Methods, which choose the labels:",
        "",
        "| method | what |",
        "|---|---|",
        *(f"| `{name}` | {title} |" for name, title in methods().items()),
        "",
        "Parts, added to a method as in `s3gan+diffaugment` (`oversampled` only to co-training):",
        "",
        "| part | what |",
        "|---|---|",
        *(f"| `{name}` | {title} |" for name, title in parts().items()),
        "",
    ]
    return "\n".join(lines)


def row(each: Configuration) -> str:
    return f"| `{each.name}` | {each.images} | {each.memory} | {each.time} |"


def score(each: Configuration) -> str:
    return each.score if each.score_from is None else f"{each.score} ({each.score_from})"


def with_table(page: str) -> str:
    """The page with the current table."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
