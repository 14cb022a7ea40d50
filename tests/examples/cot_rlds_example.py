"""What the tests of the CoT RLDS example share: its data, its loaders, its programs."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
import torch

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "cot_rlds"
sys.path.insert(0, str(EXAMPLE / "src"))  # as each script of the example does

from openpi_cot.dataloader.cot_data_loader import CoTRLDSDataLoader, create_data_loader  # noqa: E402
from openpi_cot.training.config import TrainConfig, get_config  # noqa: E402

ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
SHORT = ["--num-train-steps", "30", "--save-interval", "10"]


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    environment = {**os.environ, **ONE_THREAD, "TF_ENABLE_ONEDNN_OPTS": "0"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=EXAMPLE, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finished(process: subprocess.Popen[str], code: int = 0) -> str:
    output, errors = process.communicate(timeout=240)
    assert process.returncode == code, (process.returncode, output[-2000:], errors[-2000:])
    return output


def module(path: str) -> Any:
    """Import a script of the example under a name that no other example has."""
    spec = importlib.util.spec_from_file_location(f"cot_{Path(path).stem}", EXAMPLE / path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As train.py has it: the same order of additions everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Episodes played once, by the example's own script."""
    folder = tmp_path_factory.mktemp("cot") / "data"
    module("make_episodes.py").record(folder)
    return folder


@pytest.fixture
def config(data: Path) -> TrainConfig:
    return get_config("gemma3").with_(batch_size=8, data={"data_dir": data})


def loader(config: TrainConfig, **options: Any) -> CoTRLDSDataLoader:
    return create_data_loader(config, **{"persistent_iterator": True, "shuffle": True, **options})


def take(data_loader: CoTRLDSDataLoader, count: int) -> list[bytes]:
    batches = iter(data_loader)
    return [(o.frame_id.tobytes() + o.state.tobytes() + a.tobytes()) for o, a in (next(batches) for _ in range(count))]


# --- programs


def flip(path: Path, at: int | None = None) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 0x10
    path.write_bytes(content)
