"""What lies among a trainer's checkpoints and is named otherwise: its best, links to its last, what was damaged."""

from pathlib import Path

from adopting import adopt, refs, states
from command_line import inside
from foreign_files import agent, hugging_face, lightning


def test_the_best_agent_is_adopted_by_the_step_that_it_holds(tmp_path: Path) -> None:
    agent(tmp_path / "rl_model_200_steps.zip", 200)
    agent(tmp_path / "best_model.zip", 150)
    code, found, _ = adopt(tmp_path)
    assert (code, {one["title"] for one in found}) == (0, {"Stable-Baselines3"})
    assert refs(tmp_path) == [".@150", ".@200"]


def test_the_best_agent_of_a_step_that_has_a_zip_needs_no_manifest(tmp_path: Path) -> None:
    agent(tmp_path / "rl_model_200_steps.zip", 200)
    agent(tmp_path / "best_model.zip", 200)
    assert states(adopt(tmp_path)[1])["best_model.zip"] == ("complete", "copy")


def test_an_agent_of_any_name_is_known_by_its_content_where_a_person_names_it(tmp_path: Path) -> None:
    path = agent(tmp_path / "ppo_cartpole.zip", 300)
    code, (found,), _ = adopt(path)
    assert (code, found["title"], found["step"]) == (0, "Stable-Baselines3", 300)


def test_a_link_to_the_last_is_told(tmp_path: Path) -> None:
    lightning(tmp_path, 8, 0.5)
    (tmp_path / "last.ckpt").symlink_to("epoch=0-step=8.ckpt")
    (tmp_path / "gone.ckpt").symlink_to("epoch=9-step=9.ckpt")
    _, _, said = adopt(tmp_path)
    assert "last.ckpt: is a link to epoch=0-step=8.ckpt, which is in the list" in said
    assert "gone.ckpt: is a link to epoch=9-step=9.ckpt, which does not exist" in said


def test_of_one_that_was_damaged_since_the_manifest_is_there(tmp_path: Path) -> None:
    path = agent(tmp_path / "rl_model_200_steps.zip", 200)
    adopt(tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    for words in ([], ["--dry-run"]):
        (one,) = adopt(tmp_path, *words)[1]
        assert (one["state"], one["action"]) == ("incomplete", "left")
        assert Path(one["manifest"]).is_file()
    row = inside("adopt", tmp_path, "--format", "tsv").stdout.splitlines()[1].split("\t")
    assert row[3] == "is there"


def test_what_to_type_next_names_no_template_where_the_configuration_has_one(tmp_path: Path) -> None:
    lightning(tmp_path / "out", 8, 0.5)
    assert "--template" in inside("adopt", "out", cwd=tmp_path).stderr
    (tmp_path / "ckptkit.yaml").write_text("trainers:\n  lightning: [python, mine.py, '{path}']\n")
    assert "--template" not in inside("adopt", "out", cwd=tmp_path).stderr
    hugging_face(tmp_path / "other", 4)
    assert "--template" not in inside("adopt", "other", cwd=tmp_path).stderr
