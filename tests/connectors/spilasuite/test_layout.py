"""The layout as data: an installation with other names needs a file, not code; a wrong layout is refused."""

from pathlib import Path

import pytest

from connectors import odbc
from connectors.base import Known, Recalled
from connectors.spilasuite import Spilasuite
from connectors.spilasuite.layout import OWN, load
from connectors.spilasuite.snapshot import Views
from schemas.errors import Malformed
from tests.connectors.spilasuite.installation import Answer, Installation, delivery, heard


def _layout(folder: Path, *changes: tuple[str, str]) -> Path:
    text = OWN.read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text, "the change would change nothing"
        text = text.replace(before, after, 1)
    path = folder / "other.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_views_and_columns_may_have_other_names_at_an_installation(tmp_path: Path) -> None:
    layout = load(
        _layout(
            tmp_path,
            ('name = "v_lot"\n', 'name = "v_lot"\ninstalled = "EXP_LOTS"\n'),
            ('{ name = "numero_lot",', '{ name = "numero_lot", installed = "NUM",'),
            ('{ name = "code_agence",', '{ name = "code_agence", installed = "AGENCE",'),
        )
    )
    source = Installation(layout=layout, counted={"v_lot": None, "EXP_LOTS": 1})
    source.add("v_lot", numero_lot="12")
    source.add("v_suppression", nom_vue="EXP_LOTS", cle="501")
    answer = heard(source, tmp_path)
    assert (answer.row("lot")["number"], answer.line("v_lot")["loc"]) == ("12", "500")
    assert answer.endings()[0]["source"] == "v_lot"


@pytest.mark.parametrize(("schema", "table"), [("extranet", "extranet.v_lot"), ("", "v_lot")])
def test_the_schema_is_a_setting_and_sqlite_has_none(schema: str, table: str, tmp_path: Path) -> None:
    layout = load(_layout(tmp_path, ('schema = "extranet"', f'schema = "{schema}"')))
    path = tmp_path / "views.sqlite"
    path.touch()
    with odbc.connect(odbc.sqlite(path)) as connection:
        assert Views(connection, layout).table(layout.views["v_lot"]) == "v_lot"
        other = odbc.Connection(odbc.ENGINES["PostgreSQL"], connection._talk)
        assert Views(other, layout).table(layout.views["v_lot"]) == table


def test_a_code_list_is_changed_in_its_file(tmp_path: Path) -> None:
    layout = load(_layout(tmp_path, ('PP = "full"', 'PP = "full"\nTP = "full"')))
    source = Installation(layout=layout)
    source.add("v_lot_proprietaire", nature_droit="TP")
    assert heard(source, tmp_path).row("co_ownership")["right"] == "full"


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('schema = "extranet"', 'schema = "x; DROP TABLE v"', "the schema"),
        ('name = "v_lot"\n', 'name = "v_lot"\ninstalled = "a b"\n', "v_lot"),
        ('{ name = "numero_lot",', '{ name = "numero_lot", installed = "a,b",', "v_lot.numero_lot"),
        ('name = "v_agence"\n', 'name = "v agence"\n', "name of a view"),
        ('rule = "siret"', 'rule = "siret2"', "no known rule"),
        ('to = "area_m2"', 'to = "area"', "lot has no column area"),
        ('list = "rights"', 'list = "droits"', "no list droits"),
        ('key = ["id_lot"]', 'key = ["id_lots"]', "v_lot do not fit"),
        ('name = "v_horizon"', 'name = "v_horizons"', "no view v_horizon"),
    ],
)
def test_a_layout_that_cannot_be_right_is_refused(before: str, after: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(Malformed, match=named) as refused:
        load(_layout(tmp_path, (before, after)))
    assert "DROP" not in str(refused.value)


def test_an_own_layout_is_used_by_the_connector(tmp_path: Path) -> None:
    layout = load(_layout(tmp_path, ('version = "1.0"', 'version = "1.0-sud"')))
    path = Installation().write(tmp_path / "views.sqlite")
    connector = Spilasuite(layout)
    opened = connector.open(delivery(odbc.sqlite(path)), Known())
    assert opened.arrived.layout == "spilasuite 1.0-sud"
    assert Answer(connector.read([opened], Recalled())).lines() == []
