"""What `resume-cmd` prints of adopted checkpoints: who says how to resume, a trainer's own command, guesses."""

import json
import zipfile
from pathlib import Path

from adopting import adopt, command, states
from command_line import inside, refused
from foreign_files import hugging_face, lightning, safetensors, torch_like

from ckptkit.resume.quoting import quote_word


def test_the_trainers_own_command_is_printed_and_a_guess_is_called_one(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path, 4)
    adopt(tmp_path)
    line, said = command(tmp_path)
    assert line == f"python train.py --resume_from_checkpoint {folder}"
    assert "train.py is a guess: no file says which program it was, nor whether it has these flags" in said
    assert "trainers: {hf_trainer: python YOURS.py ...}" in said


def test_who_says_more_of_a_checkpoint_comes_first(tmp_path: Path) -> None:
    out, here = tmp_path / "out", tmp_path / "here"
    hugging_face(out, 4)
    adopt(out)
    here.mkdir()
    (here / "ckptkit.yaml").write_text("trainers:\n  hf_trainer: python mine.py {step}\n")
    line, said = command(out, cwd=here)
    assert (line, "guess" in said) == ("python mine.py 4", False)
    (here / "ckptkit.yaml").write_text("resume: python run.py\ntrainers:\n  hf_trainer: python mine.py {step}\n")
    assert command(out, cwd=here)[0] == "python run.py"
    hugging_face(out, 8)
    assert adopt(out, "--resume", "python own.py {path}")[0] == 0
    assert command(out, cwd=here)[0] == f"python own.py {out}/checkpoint-8"
    assert command(out, "--template", "now", cwd=here)[0] == "now"


def test_where_a_trainer_has_no_command_for_all_programs_the_ways_to_give_one_are_named(tmp_path: Path) -> None:
    torch_like(tmp_path / "model.pt")
    adopt(tmp_path)
    done = inside("resume-cmd", ".", store=tmp_path)
    refused(done, 2, "nothing says how to resume it", "torch.save has no command for all programs")
    for way in ("--template", "--resume when adopting", "trainers: {torch_file: ...}", "`resume:`"):
        assert way in done.stderr


def test_of_lightning_there_is_a_command_where_a_lightning_cli_left_its_settings(tmp_path: Path) -> None:
    folder = tmp_path / "version_0/checkpoints"
    checkpoint = lightning(folder, 4, loss=0.5)
    (tmp_path / "version_0/config.yaml").write_text("# lightning.pytorch==2.6.6\nseed_everything: 0\n")
    adopt(folder)
    line, said = command(folder)
    settings = f"--config {folder}/../config.yaml"
    assert line == f"python train.py fit {settings} --ckpt_path {quote_word(str(checkpoint))}"
    assert "train.py is a guess: no file says which program it was; its flags are of the LightningCLI" in said


def test_of_lightning_without_it_no_command_is_made_up_that_might_train_from_the_start(tmp_path: Path) -> None:
    lightning(tmp_path, 4, loss=0.5)
    assert "--template 'python YOURS.py --resume {path}'" in inside("adopt", tmp_path).stderr
    done = inside("resume-cmd", ".", store=tmp_path)
    refused(done, 2, "nothing says how to resume it", "Lightning has a command only where a LightningCLI left")
    for way in ("`trainer.fit(model, ckpt_path=PATH)` goes on", "--template", "trainers: {lightning: ...}"):
        assert way in done.stderr


def test_rl_zoo_goes_on_with_the_hyperparameters_that_it_was_given(tmp_path: Path) -> None:
    agent = tmp_path / "rl_model_7_steps.zip"
    with zipfile.ZipFile(agent, "w") as archive:
        archive.writestr("data", '{"num_timesteps": 7}')
    for name, words in (
        ("args.yml", "algo: ppo\nenv: E-v1\nconf_file: my own.yml\n"),
        ("config.yml", "n_timesteps: 9\n"),
    ):
        (tmp_path / "E-v1").mkdir(exist_ok=True)
        (tmp_path / "E-v1" / name).write_text(words)
    adopt(tmp_path)
    assert command(tmp_path)[0].endswith(f"--algo ppo --env E-v1 -i {agent} -n 2 -conf 'my own.yml'")


def test_a_trainer_that_nobody_knows_is_refused_in_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "ckptkit.yaml").write_text("trainers:\n  hf_trainr: python x.py\n")
    done = inside("list", cwd=tmp_path)
    refused(done, 2, "ckptkit.yaml: line 2: trainers.hf_trainr: is no trainer")
    assert "did you mean hf_trainer?" in done.stderr


def test_a_lerobot_run_is_resumed_from_what_its_last_link_leads_to(tmp_path: Path) -> None:
    for step in (2, 4):
        folder = tmp_path / "checkpoints" / f"{step:06d}"
        safetensors(folder / "pretrained_model/model.safetensors")
        (folder / "pretrained_model/config.json").write_text('{"type": "act"}')
        (folder / "pretrained_model/train_config.json").write_text('{"steps": 4}')
        (folder / "training_state").mkdir()
        (folder / "training_state/training_step.json").write_text(json.dumps({"step": step}))
        (folder / "training_state/optimizer_param_groups.json").write_text('[{"lr": 0.1, "params": [0]}]')
        (folder / "training_state/scheduler_state.json").write_text(json.dumps({"last_epoch": step}))
        for name in ("optimizer_state", "rng_state"):
            safetensors(folder / f"training_state/{name}.safetensors")
    (tmp_path / "checkpoints/last").symlink_to("000002")
    code, found, _ = adopt(tmp_path)
    assert (code, states(found)) == (0, {"000002": ("complete", "adopted"), "000004": ("incomplete", "left")}), (
        "last is moved when a save is complete"
    )
    line = inside("resume-cmd", "checkpoints", store=tmp_path).stdout
    config = tmp_path / "checkpoints/000002/pretrained_model/train_config.json"
    assert line.endswith(f"lerobot-train --config_path={config} --resume=true\n")
