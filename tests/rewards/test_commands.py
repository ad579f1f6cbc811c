"""``python -m vbot.rewards`` as a user types it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import vbot
from vbot.errors import UserError
from vbot.rewards import REGISTRY
from vbot.rewards.__main__ import main
from vbot.rewards.conformance import check_term
from vbot.rewards.plugins import load_plugins

pytestmark = pytest.mark.usefixtures("own_terms")


def test_list_has_a_row_for_every_term(capsys):
    main(["list"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:5] == ["name", "kind", "sign", "scale", "range"]
    assert [row.split()[0] for row in rows] == sorted(REGISTRY)
    main(["list", "--json"])
    cards = {c["name"]: c for c in json.loads(capsys.readouterr().out)}
    assert cards["alive_bonus"]["sets"] == ["final", "phase5"]
    assert cards["termination"]["sign"] == "penalty"


def test_show_tells_formula_curve_and_where_the_gradient_is_dead(capsys):
    main(["show", "fine_position_tracking"])
    shown = capsys.readouterr().out
    assert "exp(-d / sigma) where d < radius" in shown
    assert "raw value over the distance" in shown
    assert "dead (below 1 % of that): 2.35 to 12 m" in shown
    assert "target: 536.3  (per s)" in shown  # 8 exp(-0.2 / 0.5) a hundred times
    main(["show", "arrival_bonus"])
    assert "it pays when one happens" in capsys.readouterr().out


def test_show_draws_a_picture(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("imageio.v2")
    main(["show", "stop_scale", "--plot", str(tmp_path / "card.png")])
    assert f"wrote {tmp_path / 'card.png'}" in capsys.readouterr().out
    assert image.imread(tmp_path / "card.png").std() > 10
    with pytest.raises(UserError, match="cannot write"):
        main(["show", "stop_scale", "--plot", str(tmp_path / "no" / "card.png")])


def test_a_misspelt_term_is_named():
    with pytest.raises(UserError, match="no reward term is named 'alive_bonsu'; did you mean 'alive_bonus'"):
        main(["show", "alive_bonsu"])


@pytest.mark.parametrize("sign", ["reward", "penalty"])
def test_a_new_term_works_as_it_is(tmp_path, capsys, sign):
    main(["new", "my_term", "--dir", str(tmp_path), *(["--penalty"] if sign == "penalty" else [])])
    said = capsys.readouterr().out
    assert f"python -m vbot.rewards show my_term --plugin {tmp_path / 'my_term.py'}" in said
    root = str(Path(vbot.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(tmp_path / "test_my_term.py")],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    load_plugins([tmp_path / "my_term.py"])
    check_term(REGISTRY["my_term"])
    assert REGISTRY["my_term"].penalty == (sign == "penalty")
    main(["show", "my_term"])
    assert "used by" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("alive_bonus", "the name 'alive_bonus' is taken by "),
        ("my-term", "must be an identifier"),
        ("class", "must be an identifier"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_written(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        main(["new", name, "--dir", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_kept(tmp_path):
    (tmp_path / "test_mine.py").write_text("precious")
    with pytest.raises(UserError, match="exists already"):
        main(["new", "mine", "--dir", str(tmp_path)])
    assert [f.name for f in tmp_path.iterdir()] == ["test_mine.py"]
    with pytest.raises(UserError, match="cannot write in"):
        main(["new", "mine", "--dir", str(tmp_path / "nowhere")])
