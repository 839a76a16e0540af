"""The TensorBoard copy, read back from its files: overlayable tags, one folder a run, hparams, charts, histograms."""

from __future__ import annotations

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from bnexp.engine.tensorboard import MAX_POINTS, TensorBoardSink, hyperparameters
from bnexp.probes.base import Observation
from bnexp.records.reader import RunRecord
from bnexp.records.tags import POINTS, SCALARS
from bnexp.runs.run import execute

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow


def read(folder) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder / "tb"), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    return accumulator.Reload()


@pytest.fixture
def arms(make):
    """Folder and TensorBoard's view of two runs that differ in their norm."""
    folders = [execute(make("probes=light", f"norm={norm}")).record.folder for norm in ("none", "batch")]
    return [(folder, read(folder)) for folder in folders]


def hparams_of(events: EventAccumulator) -> HParamsPluginData:
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    return HParamsPluginData.FromString(content)


def test_two_arms_have_the_same_tags_so_that_they_overlay(arms):
    tags = [set(events.Tags()["scalars"]) for _, events in arms]
    assert tags[0] == tags[1]
    assert set(SCALARS.values()) <= tags[0]
    tracks = {
        f"{group}/hidden{n}/{p}"
        for group in POINTS.values()
        for n in (1, 2, 3)
        for p in ("p15", "p50", "p85")
    }
    assert tracks <= tags[0]


def test_gradient_norms_and_saturation_have_a_tag_a_layer(make):
    words = ("probes=[gradients,saturation]", "norm=none")
    for activation, share in (("sigmoid", "saturated"), ("relu", "dead")):
        folder = execute(make(*words, f"model.activation={activation}"), show=False).record.folder
        tags = read(folder).Tags()["scalars"]
        layers = ["hidden1", "hidden2", "hidden3"]
        wanted = [f"gradient_norm/{name}" for name in (*layers, "output")] + [f"{share}/{name}" for name in layers]
        assert [name for name in wanted if not any(tag.endswith(name) for tag in tags)] == []


def test_what_several_probes_see_by_one_name_is_not_mixed(make):
    folder = execute(make("probes=[gradients,depth]", "norm=none"), show=False).record.folder
    tags = {tag for tag in read(folder).Tags()["scalars"] if "gradient_norm/hidden1" in tag}
    assert tags == {"5 probe gradients/gradient_norm/hidden1", "5 probe depth/gradient_norm/hidden1"}


def test_a_run_is_one_folder_with_one_file(arms):
    for folder, _ in arms:
        assert [path.name.split(".")[:3] for path in folder.rglob("events.out*")] == [["events", "out", "tfevents"]]


def test_scalars_are_the_events_of_the_record(arms, make):
    folder, events = arms[1]
    recorded = execute(make("probes=light", "norm=batch")).record.curve("val/loss")
    shown = events.Scalars(SCALARS["val/loss"])
    assert [point.step for point in shown] == list(recorded.steps)
    assert [point.value for point in shown] == pytest.approx(recorded.values)
    assert folder.name.startswith("npz-mlp-batch")


def test_hparams_are_in_the_runs_own_folder_with_the_same_keys_in_every_arm(arms):
    shown = [hparams_of(events).session_start_info.hparams for _, events in arms]
    assert set(shown[0]) == set(shown[1])
    assert [values["norm"].string_value for values in shown] == ["none", "batch"]
    assert shown[1]["lr"].number_value == 0.1
    assert "_hparams_/session_end_info" in arms[0][1].summary_metadata


def test_the_metrics_of_the_hparams_page_are_tags_that_exist(arms):
    folder, events = arms[1]
    content = events.summary_metadata["_hparams_/experiment"].plugin_data.content
    shown = [metric.name.tag for metric in HParamsPluginData.FromString(content).experiment.metric_infos]
    end = RunRecord(folder).end
    assert sorted(shown) == sorted(["7 result/test accuracy", *(f"7 result/steps to {row['target']:g}" for row in end["targets"])])
    assert events.Scalars("7 result/test accuracy")[-1].value == pytest.approx(end["test"]["accuracy"])
    reached = {f"7 result/steps to {row['target']:g}" for row in end["targets"] if row["observed"]}
    assert {tag for tag in events.Tags()["scalars"] if "steps to" in tag} == reached


def test_learning_comes_first_and_layers_in_the_order_of_what_happens_to_their_inputs(arms):
    tags = sorted(arms[0][1].Tags()["scalars"])
    groups = list(dict.fromkeys(tag.partition("/")[0] for tag in tags))
    wanted = ["1 learning", "2 before the norm", "3 after the norm", "4 next layer", "6 learning rate and time", "7 result"]
    assert groups == [*wanted, "train", "val"]
    assert tags[0] == "1 learning/1 accuracy, validation"


@pytest.mark.parametrize("name", ["val/accuracy", "train/loss"])
def test_the_two_names_that_other_programs_use_are_there_with_the_same_points(arms, name):
    _, events = arms[0]
    shown = [(point.step, point.value) for point in events.Scalars(name)]
    assert shown == [(point.step, point.value) for point in events.Scalars(SCALARS[name])] != []


def layout_of(events: EventAccumulator) -> Layout:
    return Layout.FromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])


def test_every_layer_has_a_chart_of_its_percentiles_and_every_chart_has_tags(arms):
    _, events = arms[1]
    layout = layout_of(events)
    layers = {c.title: [chart.title for chart in c.chart] for c in layout.category if "percentile" in c.title}
    assert [title.split(" (")[0] for title in layers] == [
        "2 Inputs before the norm", "3 Inputs after the norm", "4 Inputs of the next layer",
    ]  # fmt: skip
    assert all(titles == ["hidden1", "hidden2", "hidden3"] for titles in layers.values())
    scalars = set(events.Tags()["scalars"])
    for category in layout.category:
        for chart in category.chart:
            assert chart.multiline.tag
            assert set(chart.multiline.tag) <= scalars
            if "percentile" in category.title:
                assert [tag.rpartition("/")[2] for tag in chart.multiline.tag] == ["p15", "p50", "p85"]


def test_histograms_are_there_now_and_then_and_hold_all_values(arms):
    _, events = arms[1]
    tags = events.Tags()["histograms"]
    assert "4 next layer/hidden3" in tags
    shown = events.Histograms("4 next layer/hidden3")
    assert shown[-1].step == 30
    for entry in shown:
        value = entry.histogram_value
        assert sum(value.bucket) == value.num == 40 * 8
        assert value.min <= value.sum / value.num <= value.max


@pytest.fixture
def sink(make, tmp_path):
    """A sink of a run of so many steps, into ``tmp_path / "tb"``."""
    return lambda steps, resumed_at=None: TensorBoardSink(tmp_path / "tb", make(f"train.steps={steps}"), resumed_at)


def test_a_long_run_has_about_a_thousand_points_a_tag(sink, tmp_path):
    writing = sink(50_000)
    for step in range(0, 50_001, 5):
        writing.scalar(step, "train/loss", float(step))
    writing.close({"status": "finished"})
    points = read(tmp_path).Scalars(SCALARS["train/loss"])
    assert 0.9 * MAX_POINTS <= len(points) <= MAX_POINTS + 1
    assert (points[0].step, points[-1].step) == (0, 50_000)


def test_a_short_run_keeps_every_point(sink, tmp_path):
    writing = sink(900)
    for step in range(901):
        writing.scalar(step, "train/loss", 1.0)
    writing.close({})
    assert len(read(tmp_path).Scalars(SCALARS["train/loss"])) == 901


def test_after_a_resume_the_curve_does_not_fold_back(sink, tmp_path):
    first = sink(100)
    for step in range(60):
        first.scalar(step, "train/loss", 1.0)
    first.close({})
    second = sink(100, resumed_at=40)
    for step in range(41, 101):
        second.scalar(step, "train/loss", 2.0)
    second.close({"status": "finished"})
    points = read(tmp_path).Scalars(SCALARS["train/loss"])
    assert [point.step for point in points] == list(range(101))
    assert [point.value for point in points] == [1.0] * 41 + [2.0] * 60


def test_a_diverged_run_is_marked(sink, tmp_path):
    sink(100).close({"status": "diverged", "step": 7})
    events = read(tmp_path)
    assert [(point.step, point.value) for point in events.Scalars("7 result/diverged")] == [(7, 1.0)]
    assert "status/text_summary" in events.Tags()["tensors"]


def test_a_histogram_of_huge_values_is_finite(sink, tmp_path):
    writing = sink(10)
    histogram = np.histogram(np.array([-3e38, 3e38]), bins=4)
    writing.observation(
        Observation(step=1, name="layer_inputs/pre_norm/x", labels=("p50",), values=(0.0,), histogram=histogram)
    )
    writing.close({})
    value = read(tmp_path).Histograms("2 before the norm/x")[0].histogram_value
    assert (value.num, np.isfinite(value.sum), np.isfinite(value.sum_squares)) == (2, True, True)


def test_all_runs_show_the_same_hyperparameters_with_the_same_types(make):
    words = [[], ["optimizer=adam", "model=cnn", "norm=none"], ["schedule=cosine", "seed=3"]]
    kinds = [{key: type(value) for key, value in hyperparameters(make(*more)).items()} for more in words]
    assert kinds[0] == kinds[1] == kinds[2]
    assert list(kinds[0]) == sorted(kinds[0])
