"""Ray Data on this machine: two actors, one of which is killed, give the records of one process."""

import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from inference_scenes import scene
from PIL import Image

from visionzoo import Inferencer
from visionzoo.errors import ConfigError, InputError, MissingExtra, UnknownName
from visionzoo.ray import Predictor, _warn_of_few_cpus, map_batches, write_records

MODEL = {"tiny": True, "score_threshold": 0.0, "options": {"model.test_cfg.score_thr": 0.0}}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("images")
    for number in range(12):
        Image.fromarray(scene(40, 60, number)).save(folder / f"{number:02}.png")
    (folder / "bad.png").write_bytes(b"not an image")
    return folder


@pytest.fixture(scope="module")
def expected(images, detector_weights):
    """Return the records of one process by the names of the inputs."""
    inferencer = Inferencer("rcnet_retinanet", detector_weights, device="cpu", **MODEL)
    return [json.loads(json.dumps(each.record())) for each in inferencer(images, errors="report")]


@pytest.fixture(scope="module")
def data():
    """Return ``ray.data`` on a small local Ray that keeps the order of rows."""
    here = [str(Path(__file__).parents[2]), str(Path(__file__).parent), *filter(None, sys.path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(here))  # the processes of Ray inherit it
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_register_timeout_seconds", "300")  # read by the import of ray
        data = pytest.importorskip("ray.data", reason='needs ray: pip install "visionzoo[ray]"')
        cluster = _started()
    data.DataContext.get_current().execution_options.preserve_order = True
    data.DataContext.get_current().enable_progress_bars = False
    yield data
    sys.modules["ray"].shutdown()
    cluster.shutdown()


def _started(attempts=6):
    """Return a local Ray without the processes that watch it.

    Its raylet waits 15 s for two agents and then aborts; on a busy machine, several attempts are needed.
    """
    from ray.cluster_utils import Cluster

    size = {"num_cpus": 2, "object_store_memory": 100 << 20}
    without = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    try:
        return Cluster(initialize_head=True, connect=True, head_node_args={**size, **without})
    except Exception as error:  # Ray has no class for it
        if attempts == 1 or "timed out during startup" not in str(error):
            raise
    return _started(attempts - 1)


class Dying(Predictor):
    """An actor that is killed at its second batch, once for all actors."""

    def __init__(self, *args):
        super().__init__(*args)
        self.batches = 0

    def __call__(self, rows):
        self.batches += 1
        marker = Path(str(rows[self.column][0])).parent / ".killed"
        if self.batches == 2 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(rows)


@pytest.mark.slow
def test_two_actors_give_the_records_of_one_process(data, images, expected, detector_weights, tmp_path):
    paths = data.from_items([str(path) for path in sorted(images.glob("*.png"))], override_num_blocks=6)
    found = map_batches(
        paths, "rcnet_retinanet", detector_weights, column="item", actors=2, cpus=0.5, rows=2, worker=Dying, **MODEL
    )
    assert [json.loads(row["record"]) for row in found.take_all()] == expected
    assert (images / ".killed").exists()
    (images / ".killed").unlink()


@pytest.mark.slow
def test_bytes_become_lines_and_tables(data, images, expected, detector_weights, tmp_path):
    files = data.read_binary_files(str(images), include_paths=True)
    options = {"column": "bytes", "name": "path", "keep": ["path"], "actors": 2, "cpus": 0.5}
    found = map_batches(files, "rcnet_retinanet", detector_weights, **options, **MODEL).materialize()
    write_records(found, tmp_path / "lines")
    lines = [line for path in sorted((tmp_path / "lines").iterdir()) for line in path.read_text().splitlines()]
    by_name = {json.loads(line)["input"]: json.loads(line) for line in lines}
    assert len(lines) == len(expected)
    for record in expected:
        if "error" in record:
            assert "bad.png: image bytes: expected an image" in by_name[record["input"]]["error"]
        else:
            assert by_name[record["input"]] == record
    write_records(found, tmp_path / "tables", form="parquet")
    rows = data.read_parquet(str(tmp_path / "tables")).take_all()
    assert {row["path"]: json.loads(row["record"]) for row in rows} == by_name
    with pytest.raises(InputError, match="lines: expected an empty folder, found files in it; choose another folder"):
        write_records(found, tmp_path / "lines")
    with pytest.raises(UnknownName, match="form of records is called 'csv'"):
        write_records(found, tmp_path / "other", form="csv")


def test_an_actor_reads_arrays_and_returns_files(images):
    model = {"name_or_config": "connnet_r50", "weights": "none", "tiny": True, "device": "cpu"}
    torch.manual_seed(0)
    predictor = Predictor("image", None, ("number",), True, model)
    rows = predictor({"image": np.stack([scene(40, 60, 1)] * 2), "number": np.arange(2)})
    assert sorted(rows) == ["map", "number", "record"]
    assert rows["map"][0].startswith(b"\x89PNG")
    assert [json.loads(record)["input"] for record in rows["record"]] == ["row 0", "row 1"]
    wrong = predictor({"image": [3], "number": [0]})
    assert "row 0: expected a path, bytes or an array, found int" in json.loads(wrong["record"][0])["error"]
    assert wrong["map"].tolist() == [None]
    with pytest.raises(UnknownName, match=r"no column of the data is called 'image'; did you mean 'images'\?"):
        predictor({"images": [], "number": []})


def test_groups_are_refused():
    model = {"name_or_config": "gconet_plus", "weights": "none", "tiny": True, "device": "cpu"}
    with pytest.raises(ConfigError, match="expected a model that processes images separately, found one"):
        Predictor("image", None, (), False, model)


def test_ray_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.data", None)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r'visionzoo.ray: needs ray: pip install "visionzoo\[ray\]"'):
        map_batches(None, "bossnet_t0_imagenet", column="item")


@pytest.mark.parametrize("option", [{"actors": 0}, {"rows": 0}])
def test_numbers_below_one_are_refused(monkeypatch, option):
    monkeypatch.setattr("visionzoo.ray._ray_data", lambda: None)
    with pytest.raises(ConfigError, match="expected 1 or more, found 0"):
        map_batches(None, "bossnet_t0_imagenet", column="item", **option)


def test_actors_that_leave_no_cpu_for_reading_are_named(monkeypatch):
    ray = SimpleNamespace(is_initialized=lambda: True, cluster_resources=lambda: {"CPU": 4.0})
    said = []
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr("visionzoo.ray.print_log", lambda text, *_: said.append(text))
    _warn_of_few_cpus(3.0)
    assert said == []
    _warn_of_few_cpus(4.0)
    assert said[0].startswith("visionzoo.ray: the actors take 4 of 4 CPUs; reading needs one more")
