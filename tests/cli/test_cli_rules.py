"""Rules for runs, a baseline, a moment and metrics: `verify` judges by what verified just now."""

import json
import time
from pathlib import Path

import pytest
from command_line import inside

from ckptkit import CheckpointStore
from ckptkit.rules import parse
from ckptkit.verification.ruling import judged
from tests.cli.conftest import write_rng


def verify(store: Path, *words: str | Path, code: int = 0, cwd: Path | None = None) -> tuple[str, str]:
    done = inside("verify", *words, store=store, cwd=cwd or store.parent)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


def damage(store: Path, step: int) -> Path:
    path = store / f"a/run/step-{step:08}/rng/rng.json"
    path.write_bytes(path.read_bytes()[:-1])
    return path


def rules(store: Path, *words: str, code: int = 0) -> dict[str, bool]:
    out, _ = verify(store, "--format", "json", *words, code=code)
    return {one["rule"]: one["met"] for one in json.loads(out)["rules"]}


def asked(*texts: str) -> list[str]:
    return [word for text in texts for word in ("--require", text)]


def test_rules_that_are_met_fail_nothing(store: Path) -> None:
    texts = ["count>=3", "age<1h", "grade>=partial", "damaged==0", "unsafe==0"]
    assert rules(store, *asked(*texts)) == dict.fromkeys(texts, True)


def test_only_what_verifies_counts(store: Path) -> None:
    damage(store, 2)
    found = rules(store, *asked("count>=3", "count>=2", "damaged==0", "damaged<=1"), code=1)
    assert found == {"count>=3": False, "count>=2": True, "damaged==0": False, "damaged<=1": True}


def test_nothing_is_called_exact_that_was_not_shown_to_be(store: Path) -> None:
    assert rules(store, *asked("grade>=exact"), code=1) == {"grade>=exact": False}


def test_the_last_good_one_must_be_young_enough(store: Path) -> None:
    time.sleep(1.1)  # the fixture has just been copied, but its manifests are older than that
    assert rules(store, *asked("age<1s"), code=1) == {"age<1s": False}
    damage(store, 3)
    out, _ = verify(store, *asked("age<1h", "count>=1"), code=1)
    assert "a/run@2, the last good one" in out


def test_a_run_without_a_good_checkpoint_meets_none(store: Path) -> None:
    for step in (1, 2, 3):
        damage(store, step)
    found = rules(store, *asked("age<1h", "count>=1", "grade>=partial"), code=1)
    assert not any(found.values())


def test_a_rule_alone_is_no_damage(store: Path) -> None:
    out, _ = verify(store, "--format", "json", *asked("count>=4"), code=1)
    assert json.loads(out)["verdict"] == "rule-not-met"


@pytest.mark.parametrize(
    "format_", ["table", "tsv", "json", "ndjson", "junit", "sarif", "github", "gitlab", "markdown"]
)
def test_each_format_tells_what_is_not_met(store: Path, format_: str) -> None:
    out, _ = verify(store, "--format", format_, *asked("count>=4", "age<1h"), code=1)
    assert "3 of 3 that were checked are good" in out.replace("\\", "")
    assert ("age<1h" in out or "age&lt;1h" in out) == (format_ != "gitlab")  # a list of what is to be looked at


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense", "is not a rule"),
        ("count>2", "count is not compared by >"),
        ("age<soon", "not a duration"),
        ("count>=many", "is no number"),
        ("grade>=perfect", "is no grade"),
        ("signed-by==ada", "nobody said whose signatures count"),
    ],
)
def test_what_is_no_rule_is_said_in_two_lines(store: Path, text: str, told: str) -> None:
    _, err = verify(store, *asked(text), code=2)
    assert told in err
    assert err.count("\n") == 2


def test_a_count_that_can_never_be_met_is_refused(store: Path) -> None:
    _, err = verify(store, "--latest", *asked("count>=2"), code=2)
    assert "looks at one" in err


def test_rules_of_the_configuration_are_for_whole_runs(store: Path) -> None:
    text = f"store: {store}\nrequire: [count>=3]\nruns:\n  'b*':\n    require: [count>=9]\n"
    (store.parent / "ckptkit.yaml").write_text(text)
    assert rules(store) == {"count>=3": True}
    assert rules(store, "a/run") == {"count>=3": True}
    assert rules(store, "a/run@1") == rules(store, "--latest") == rules(store, "--sample", "1/2") == {}
    assert rules(store, *asked("count>=1")) == {"count>=1": True}


def test_a_run_that_never_saved_is_found(store: Path) -> None:
    (store.parent / "ckptkit.yaml").write_text(
        "runs:\n  nightly:\n    require: [age<24h]\n  'x*':\n    require: [count>=1]\n"
    )
    out, _ = verify(store, code=1)
    assert "nightly\tnot-met" in out
    assert "there is no checkpoint" in out


def test_a_configuration_with_a_rule_that_is_none_names_the_line(store: Path) -> None:
    (store.parent / "ckptkit.yaml").write_text("level: format\nrequire: [count>=2, old<1]\n")
    _, err = verify(store, code=2)
    assert "line 2: require" in err
    assert "'old<1' is not a rule" in err


def test_what_a_baseline_tells_fails_nothing_and_is_not_good(store: Path, tmp_path: Path) -> None:
    damage(store, 2)
    base = tmp_path / "base.json"
    verify(store, "--report", f"json={base}", code=1)
    out, err = verify(store, "--baseline", str(base))
    assert "a/run@2\tdamaged" in out
    assert "known, and no reason to fail" in err
    assert rules(store, "--baseline", str(base), *asked("count>=3"), code=1) == {"count>=3": False}
    damage(store, 3)
    verify(store, "--baseline", str(base), code=1)


def test_another_damage_of_what_is_known_is_new(store: Path, tmp_path: Path) -> None:
    path = damage(store, 2)
    base = tmp_path / "base.json"
    verify(store, "--report", f"json={base}", code=1)
    path.unlink()
    verify(store, "--baseline", str(base), code=1)


def test_what_is_mended_is_told(store: Path, tmp_path: Path) -> None:
    path = store / "a/run/step-00000002/rng/rng.json"
    whole = path.read_bytes()
    damage(store, 2)
    base = tmp_path / "base.json"
    verify(store, "--report", f"json={base}", code=1)
    path.write_bytes(whole)
    _, err = verify(store, "--baseline", str(base))
    assert "no longer found, of the baseline: a/run@2: rng/rng.json: file-size" in err


def test_a_known_rule_that_is_not_met_fails_nothing(store: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.json"
    verify(store, *asked("count>=9"), "--report", f"json={base}", code=1)
    verify(store, *asked("count>=9"), "--baseline", str(base))
    verify(store, *asked("count>=8"), "--baseline", str(base), code=1)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"exit_code": 1}',
        '{"exit_code": 10, "verdict": "broken", "checkpoints": []}',
        "[" * 99_999,
    ],
)
def test_a_baseline_that_is_none_is_refused(store: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "base.json").write_text(content)
    _, err = verify(store, "--baseline", str(tmp_path / "base.json"), code=2)
    assert "is no report of ckptkit verify as JSON" in err
    _, err = verify(store, "--baseline", str(tmp_path / "none.json"), code=2)
    assert "cannot be read" in err


def test_since_looks_at_what_was_saved_then_or_later(store: Path, tmp_path: Path) -> None:
    assert "a/run@3" in verify(store, "--since", "1h")[0]
    _, err = verify(store, "--since", "2999-01-01", code=4)
    assert "nothing was saved since then" in err
    (store / "a/run/step-00000002/manifest.json").write_bytes(b"{")  # nobody knows when
    out, _ = verify(store, "--since", "2999-01-01", code=1)
    assert out.count("a/run@") == 1


def test_metrics_are_read_by_prometheus(store: Path, tmp_path: Path) -> None:
    damage(store, 3)
    path = tmp_path / "ckptkit.prom"
    verify(store, "--metrics", str(path), *asked("count>=3"), code=1)
    parser = pytest.importorskip("prometheus_client.parser")  # not with the lowest versions
    families = parser.text_string_to_metric_families(path.read_text())
    found = {(one.name, *sorted(one.labels.items())): one.value for family in families for one in family.samples}
    assert found["ckptkit_verify_exit_code",] == 1
    assert found["ckptkit_verify_last_good_step", ("run", "a/run")] == 2
    assert found["ckptkit_verify_checkpoints", ("result", "damaged"), ("run", "a/run")] == 1
    assert found["ckptkit_verify_rule_met", ("rule", "count>=3"), ("run", "a/run")] == 0
    assert found["ckptkit_verify_findings", ("code", "file-size")] == 1
    saved = CheckpointStore(store).manifest("a/run@2").created_at
    assert abs(found["ckptkit_verify_last_good_timestamp_seconds", ("run", "a/run")] - _seconds(saved)) < 1e-3


def test_names_are_labels_whatever_they_hold(tmp_path: Path) -> None:
    store, name = tmp_path / "s", 'a "b" {c=1},ü'
    CheckpointStore(store).save(name, 1, {"rng": write_rng(tmp_path / "rng.json")})
    verify(store, "--metrics", tmp_path / "m.prom")
    parser = pytest.importorskip("prometheus_client.parser")  # not with the lowest versions
    families = parser.text_string_to_metric_families((tmp_path / "m.prom").read_text())
    assert {one.labels["run"] for family in families for one in family.samples if "run" in one.labels} == {name}


def test_a_date_ahead_of_the_clock_is_not_young(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "s")
    store.save("r", 1, {"rng": write_rng(tmp_path / "rng.json")})
    report = store.verify()
    rules = [parse("age<1h")]
    (met,) = judged(report.checkpoints, lambda run: rules)
    (ahead,) = judged(report.checkpoints, lambda run: rules, now=time.time() - 400 * 86_400)
    assert (met.problem, ahead.problem is None) == (None, False)
    assert "400 days ahead of this clock" in ahead.message


def test_metrics_say_when_nothing_could_be_verified(tmp_path: Path) -> None:
    path = tmp_path / "ckptkit.prom"
    verify(tmp_path / "none", "--metrics", str(path), code=10)
    assert "ckptkit_verify_exit_code 10\n" in path.read_text()


def test_metrics_are_replaced_as_a_whole(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "ckptkit.prom"
    path.write_text("old")
    before = path.stat().st_ino
    verify(store, "--metrics", str(path))
    assert path.stat().st_ino != before
    assert [one.name for one in tmp_path.glob("*.prom*")] == ["ckptkit.prom"]


def test_python_judges_by_the_same_rules(store: Path) -> None:
    report = CheckpointStore(store).verify("a/run", rules=["count>=3", "count>=4"])
    assert [one.problem is None for one in report.rules] == [True, False]
    assert report.exit_code == 1


def test_an_empty_run_that_is_expected_is_judged(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "s")
    store.save("r", 1, {"rng": write_rng(tmp_path / "rng.json")})
    report = store.verify(rules=["count>=1"], expected=["other"])
    assert {one.run: one.problem is None for one in report.rules} == {"r": True, "other": False}


def _seconds(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()
