"""The columns of what `harness reproduce` writes: published results, beside what came of them here."""

from typing import Final

from freewalk.results.schema.schema import TABLES, Column, TableName

REPRODUCTIONS: Final[TableName] = "reproductions"

REPRODUCTION_COLUMNS: Final[tuple[Column, ...]] = (
    Column("schema_version", "Int64", "version of the table's layout"),
    Column("reproduction", "string", "its name"),
    Column("scale", "string", "quick or paper"),
    Column("verdict", "string", "reproduced, at another scale, not reproduced or undecided: of all its checks"),
    Column("claim", "string", "what one of its checks is about"),
    Column(
        "known", "string", "how the published number is known: read in the source, in its abstract, second hand, ..."
    ),
    Column("published", "float64", "the published number, or its point of a claim"),
    Column("published_low", "float64", "lower end of the publication's own interval, if it has one"),
    Column("published_high", "float64", "its upper end"),
    Column("above", "float64", "the claim is that the number is above this"),
    Column("below", "float64", "the claim is that the number is below this"),
    Column("estimate", "float64", "the number here"),
    Column("low", "float64", "lower end of its interval, 95 % together with the reproduction's other numbers"),
    Column("high", "float64", "its upper end"),
    Column("n", "Int64", "trials, or rows, that it rests on"),
    Column("holds", "boolean", "whether the check holds; missing where there are too few trials to say"),
    Column("changed", "string", "what is not as published; missing for nothing"),
    Column("source", "string", "the publication"),
    Column("n_failed", "Int64", "trials that failed, which do not count", "trials"),
    Column("seconds", "float64", "time that it took, of all its checks together", "s"),
    Column("command", "string", "that makes it again"),
    Column("date", "string", "when it ended, ISO 8601 UTC"),
    Column("machine", "string", "the processor, and how many threads of it"),
)

TABLES[REPRODUCTIONS] = REPRODUCTION_COLUMNS
