"""The explorers, driven as a reader drives them: they show the measures."""

import base64
import io
import re

import ipywidgets
import nbclient
import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from helpers import cka, explorers, features, images, models
from helpers.charts.overlays import DARKEST, OUTLINE
from helpers.charts.overlays import lit as lit_up
from helpers.explorers import forms
from helpers.measures import attention, localization

VIT, CNN = "lab/vit_cls", "lab/resnet"


@pytest.fixture(scope="module")
def vit():
    return models.load(VIT)


@pytest.fixture(scope="module")
def scenes():
    return images.load("wardrobe", limit=16)


@pytest.fixture(scope="module")
def bank():
    return images.load("wardrobe", "train", limit=40)


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """What was drawn, in the order of drawing."""
    seen = []
    monkeypatch.delenv("BOOK_BUILD", raising=False)
    monkeypatch.setattr(forms, "display", seen.append)
    return seen


@pytest.fixture(scope="module")
def maps(vit, scenes):
    return localization.heatmaps(vit, scenes, "out", 8)


def picture(html, number):
    """The pixels of one of the pictures of `charts.pictures`."""
    found = re.findall(r"base64,([^\"]+)", html)[number]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(found))))


class Halves(forms.Form):
    """A form that halves numbers, slowly, and only even ones."""

    def __init__(self):
        self.number = ipywidgets.IntText(4)
        self.measured = []
        super().__init__(self.number)

    def key(self):
        return self.number.value

    def cost(self):
        return "a <moment>"

    def measure(self):
        assert self.button.disabled
        assert "<progress>" in self.status.value
        self.measured.append(self.number.value)
        if self.number.value % 2:
            raise ValueError(f"{self.number.value} is odd: <2 or 4>")
        if self.number.value == 8:
            forms.warnings.warn("eight is large", stacklevel=1)
        return self.number.value // 2

    def draw(self, result):
        return pd.DataFrame({"half": [result]}), f"half: {result}"


def test_a_form_measures_when_asked_and_once(drawn):
    form = Halves()
    form.refresh()
    assert form.status.value == "Not measured yet: a &lt;moment&gt;."
    assert form.measured == []
    form.button.click()
    assert form.shown.half.tolist() == [2]
    assert form.button.disabled, "there is nothing left to measure"
    assert "<progress>" not in form.status.value
    form.number.value = 6
    assert not form.button.disabled
    assert form.shown is None, "what is shown belongs to what is chosen"
    form.button.click()
    form.number.value = 4
    form.button.click()
    assert form.shown.half.tolist() == [2]
    assert form.measured == [4, 6]
    assert drawn == ["half: 2", "half: 3", "half: 2", "half: 2"]


def test_a_form_says_what_went_wrong_and_goes_on(capsys):
    form = Halves()
    form.button.click()
    form.number.value = 5
    form.button.click()
    assert "5 is odd: &lt;2 or 4&gt;</b>" in form.status.value
    assert form.shown is None
    assert not form.button.disabled
    form.number.value = 8
    form.button.click()
    assert form.shown.half.tolist() == [4]
    assert form.status.value.endswith("eight is large")
    assert capsys.readouterr().err == ""


def test_similarity_shows_the_cka_of_what_is_chosen(vit, scenes, drawn):
    form = explorers.similarity([vit, CNN], scenes, batch_size=8)
    form.button.click()
    direct = cka.compare(vit, models.load(CNN), scenes, batch_size=8)
    pd.testing.assert_frame_equal(form.shown, direct)
    (rows,) = drawn[-1].to_dict()["datasets"].values()
    np.testing.assert_allclose([r["cka"] for r in rows], direct.cka, 1e-5)
    form.y.value = VIT
    form.layers.value = "blocks.1-2.*"
    form.tokens.value = "cls"
    form.button.click()
    chosen = {"layers": form.layers.value, "tokens": "cls", "batch_size": 8}
    direct = cka.compare(vit, None, scenes, **chosen)
    pd.testing.assert_frame_equal(form.shown, direct)


def test_similarity_names_the_nearest_valid_choice(vit, scenes, capsys):
    form = explorers.similarity([vit, CNN], scenes, batch_size=8)
    form.layers.value = "fc3"
    form.button.click()
    assert "&#x27;fc1&#x27;" in form.status.value
    form.layers.value, form.tokens.value = "out", "cls"
    form.button.click()
    assert "has no class token" in form.status.value
    form.tokens.value = "mean"
    form.button.click()
    assert len(form.shown)
    assert capsys.readouterr().err == ""


def test_a_model_that_cannot_be_loaded_is_named_in_the_form(vit, scenes):
    form = explorers.patches([vit, "lab/vit_clss"], scenes, batch_size=8)
    form.model.value = "lab/vit_clss"
    assert "nearest: &#x27;lab/vit_cls&#x27;" in form.status.value
    form.model.value = VIT
    assert form.status.value.startswith("Not measured yet")


def test_a_click_shows_where_a_patch_looks_and_stands(
    vit, scenes, maps, drawn, monkeypatch
):
    monkeypatch.setattr(localization, "heatmaps", pytest.fail)
    form = explorers.patches([vit], scenes, measured={VIT: maps})
    form.refresh()
    form.layer.value = "blocks.4.out"
    form.image.value = 3
    form.picker.buttons[10].click()
    assert form.picker.name == "row 2, column 3"
    (seen,) = [*scenes.seen_by(vit)[2:3]]
    shown = {n: t.value.to_numpy() for n, t in form.shown.groupby("map")}
    local = maps["blocks.4.out"].cka[11]
    np.testing.assert_array_equal(shown.pop("localisation"), local)
    direct = attention.maps(vit, scenes, [4], 10)[0, 2]
    assert len(shown) == len(direct)
    for head, weights in enumerate(direct):
        found = shown[f"head {head}"]
        np.testing.assert_allclose(found, weights.ravel(), atol=1e-6)
    lit = lit_up(seen, direct[5], (1, 2))
    assert abs(picture(drawn[-1], 6).astype(int) - lit).max() <= 1


def test_a_click_on_the_class_token(vit, scenes, maps):
    form = explorers.patches([vit], scenes, measured={VIT: maps})
    form.refresh()
    form.picker.class_token.click()
    shown = {n: t.value.to_numpy() for n, t in form.shown.groupby("map")}
    local = maps["blocks.11.out"].cka[0]
    np.testing.assert_array_equal(shown["localisation"], local)
    direct = attention.maps(vit, scenes, [11], "cls")[0, 0, 2]
    np.testing.assert_allclose(shown["head 2"], direct.ravel(), atol=1e-6)


def test_a_network_without_attention_has_its_map_alone(vit, scenes, maps):
    form = explorers.patches(
        [vit, CNN], scenes, batch_size=8, positions=16, measured={VIT: maps}
    )
    form.refresh()
    form.picker.class_token.click()
    form.model.value = CNN
    assert form.shown is None
    assert form.picker.box.layout.display == "none", "no dead controls"
    form.button.click()
    assert form.picker.box.layout.display == ""
    assert form.shown["map"].unique().tolist() == ["localisation"]
    assert form.picker.class_token.layout.display == "none"
    form.layer.value = "stages.0.0.out"
    direct = localization.heatmaps(
        models.load(CNN), scenes, "stages.0.0.out", 8, 16
    )["stages.0.0.out"]
    form.picker.buttons[7].click()
    np.testing.assert_array_equal(form.shown.value, direct.cka[7])
    assert form.picker.name == direct.layers_x[7]


def test_neighbours_are_the_nearest_by_cosine(vit, scenes, bank, drawn):
    form = explorers.neighbours([vit], scenes, bank, k=5)
    form.button.click()
    form.layer.value = "blocks.6.out"
    form.image.value = 8
    queries, found = (
        features.extract(vit, s, "blocks.6.out")["blocks.6.out"]
        for s in (scenes, bank)
    )
    search = NearestNeighbors(n_neighbors=5, metric="cosine").fit(found)
    distance, place = search.kneighbors(queries[7:8])
    np.testing.assert_array_equal(form.shown.place, place[0])
    np.testing.assert_allclose(form.shown.similarity, 1 - distance[0], 1e-4)
    labels = [bank.class_names[bank.labels[i]] for i in place[0]]
    assert form.shown.label.tolist() == labels
    same = bank.labels[place[0]] == scenes.labels[7]
    assert form.shown.same.tolist() == same.tolist()
    assert all(label in drawn[-1] for label in labels)
    np.testing.assert_array_equal(
        picture(drawn[-1], 2), np.asarray(bank[place[0][1]])
    )


def test_a_veil_is_thin_where_the_map_is_high():
    grey = np.full((8, 12, 3), 200, np.uint8)
    lit = lit_up(grey, [[0.0, 1.0, 2.0], [4.0, 0.0, 0.0]], (0, 2))
    assert (lit[4:, :4] == 200).all()
    assert (lit[:4, :4] <= 200 * (1 - DARKEST) + 1).all()
    assert (lit[:4, 4:8] < lit[1, 9]).all()
    outline = (lit == OUTLINE[:3]).all(-1)
    assert outline.sum() == 12
    assert outline[:4, 8:].sum() == 12


def test_the_site_has_a_sentence_and_no_widgets(
    vit, scenes, bank, monkeypatch
):
    monkeypatch.setenv("BOOK_BUILD", "1")
    made = []
    monkeypatch.setattr(
        ipywidgets.Widget, "_call_widget_constructed", made.append
    )
    for shown in (
        explorers.similarity([vit], scenes),
        explorers.patches([vit], scenes),
        explorers.neighbours([vit], scenes, bank),
    ):
        assert "running notebook" in shown.text
        assert shown.startswith("<p ")
    assert made == []


def test_the_explorers_work_in_a_kernel():
    """Drawn into their views, nothing on stderr, in a real kernel."""
    code = """
from helpers import charts, explorers, images
scenes = images.load("wardrobe", limit=8)
bank = images.load("wardrobe", "train", limit=12)
forms = [
    explorers.similarity(["lab/vit_cls"], scenes, batch_size=4),
    explorers.patches(["lab/vit_cls"], scenes, batch_size=4),
    explorers.neighbours(["lab/vit_cls"], scenes, bank, k=3),
]
charts.setup()
---
forms[0]
---
forms[1]
---
forms[2]
---
for form in forms:
    form.button.click()
---
forms[1].picker.buttons[5].click()
forms[2].image.value = 4
forms[0].layers.value = "nonsense"
forms[0].button.click()
print([len(form.shown) for form in forms[1:]], forms[0].shown)
print(forms[0].status.value)
"""
    cells = [nbformat.v4.new_code_cell(c) for c in code.split("---\n")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=120).execute()
    shown = [o for cell in cells for o in cell.outputs]
    views = "application/vnd.jupyter.widget-view+json"
    assert [views in o.get("data", {}) for o in shown] == [True] * 3 + [False]
    assert shown[-1].name == "stdout"
    assert shown[-1].text.startswith("[448, 3] None\n")
    assert "unknown layer" in shown[-1].text
    state = notebook.metadata.widgets[
        "application/vnd.jupyter.widget-state+json"
    ]["state"].values()
    drawn = [
        out["data"]["text/html"]
        for widget in state
        if widget["model_name"] == "OutputModel"
        for out in widget["state"]["outputs"]
    ]
    assert len(drawn) == 2, "that of the wrong choice was cleared"
    assert any("row 1, column 6" in html for html in drawn)
    assert any("image 4" in html for html in drawn)


class Fixed:
    """A training whose steps are known networks; counts what is asked for."""

    def __init__(self, *stages):
        self.stages, self.asked = stages, []
        self.steps = len(stages) - 1

    def at(self, step):
        self.asked.append(step)
        return self.stages[step]


def test_finetuning_plays_measured_steps_and_trains_up_to_others(
    vit, scenes, drawn
):
    late = models.load("lab/vit_cls_twin")
    course, others = Fixed(vit, vit, late), {"itself": vit, "twin": late}
    pairs = {("vit", 0, name): (vit, other) for name, other in others.items()}
    known = cka.measure_pairs(pairs, scenes, "out,fc1", "all", 8)
    form = explorers.finetuning(
        {"vit": course},
        others,
        scenes,
        [0, 2],
        "out,fc1",
        batch_size=8,
        measured=known,
    )
    form.refresh()
    assert form.button.disabled
    assert np.allclose(np.diag(form.shown.cka.to_numpy().reshape(12, 12)), 1)
    assert not course.asked

    form.play.value = 1
    assert form.step.value == 2
    assert form.shown is None
    assert "trains to step 2" in form.status.value
    form.measure_chosen()
    assert course.asked == [2]
    expected = cka.compare(late, vit, scenes, "out", "all", 8)
    np.testing.assert_allclose(form.shown.cka, expected.cka, atol=1e-6)
    form.type.value, form.other.value = "fc1", "twin"
    assert form.shown.layer_x.str.endswith("fc1").all()
    assert np.allclose(np.diag(form.shown.cka.to_numpy().reshape(12, 12)), 1)
    assert "at step 2, and twin" in str(drawn[-1].to_dict()["title"])
    form.play.value = 0
    assert form.shown is not None
    assert course.asked == [2]


def test_finetuning_refuses_steps_that_the_training_lacks(vit, scenes):
    with pytest.raises(ValueError, match=r"steps 0 to 0, got \[3\]"):
        explorers.finetuning({"vit": Fixed(vit)}, {"vit": vit}, scenes, [3])
