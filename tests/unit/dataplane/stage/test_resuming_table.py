"""The document says what is gone on with as tests find it."""

from tests.unit.dataplane.stage import resuming_table


def test_the_document_tells_what_is_found() -> None:
    text = resuming_table.FILE.read_text()
    assert text == resuming_table.with_table(text), (
        "run: python -m tests.unit.dataplane.stage.resuming_table --write"
    )
