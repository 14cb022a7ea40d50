"""Program: wrote the files here, with gguf 0.19.0, onnx 1.23.2, orbax-checkpoint 0.12.8; no test installs them."""

import shutil
import tempfile
from pathlib import Path

import gguf
import numpy as np
import onnx
import orbax.checkpoint
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent


def write_gguf() -> None:
    writer = gguf.GGUFWriter(HERE / "model.gguf", "llama")
    writer.add_block_count(1)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    writer.add_tensor("half", np.ones((4, 8), np.float16))
    writer.add_tensor("blocks", np.zeros((2, 34), np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_onnx() -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weight])
    onnx.save(helper.make_model(graph), HERE / "model.onnx")
    (HERE / "large.data").unlink(missing_ok=True)
    onnx.save(
        helper.make_model(graph), HERE / "large.onnx", save_as_external_data=True, location="large.data",
        size_threshold=0,
    )  # fmt: skip


def write_orbax() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "10")
        with orbax.checkpoint.StandardCheckpointer() as writer:
            writer.save(folder, {"a": np.arange(10.0), "b": {"c": np.ones((3, 4))}})
        shutil.copy(folder / "manifest.ocdbt", HERE)
        shutil.copy(next((folder / "d").iterdir()), HERE / "node.ocdbt")


if __name__ == "__main__":
    write_gguf()
    write_onnx()
    write_orbax()
