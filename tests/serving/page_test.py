"""The page, in a headless Chromium."""

import json

import pytest

from tests import tiny
from tests.serving import browser
from tests.serving.server_tools import save_stranger, serving, serving_export

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium is installed")

STATUS = "document.querySelector('#status').textContent"
SAMPLES = "document.querySelectorAll('#samples li').length"


@pytest.fixture(scope="module")
def model():
    return tiny.make_model()


@pytest.fixture(scope="module")
def client(model, tmp_path_factory):
    with serving_export(model, tmp_path_factory.mktemp("served") / "tiny", "1") as client:
        yield client


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser.open_page(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture
def page(tab, client):
    tab.problems.clear()
    tab.go("about:blank")
    tab.go(f"http://{client.address[0]}:{client.address[1]}/")
    tab.wait_for(f"{SAMPLES} === 16")
    yield tab
    assert tab.problems == []  # no exception, nothing refused by the content policy


def given(page, *names):
    words = " and ".join(names)
    page.wait_for(f"{STATUS}.startsWith('Given {words},')")


def pixels(page, selector):
    """Returns the bytes of a canvas."""
    return page.evaluate(f"document.querySelector({json.dumps(selector)}).toDataURL()")


def test_it_tells_what_the_model_knows_and_starts_with_the_prior(page):
    names = "[...document.querySelectorAll('.part')].map((part) => part.dataset.name)"
    assert set(page.evaluate(names)) == set(tiny.NAMES)
    assert "image, label, reading" in page.evaluate("document.querySelector('#intro').textContent")
    assert page.evaluate(f"{STATUS}").startswith("Nothing given")


def test_drawing_gives_the_image_and_every_modality_appears(page):
    before = pixels(page, "#samples canvas")
    left, top, width, height = page.box(".pad canvas")
    stroke = ((0.2, 0.2), (0.8, 0.2), (0.4, 0.9))
    page.drag([(left + width * x, top + height * y) for x, y in stroke])
    given(page, "image")
    page.wait_for(f"document.querySelector('#samples canvas').toDataURL() !== {json.dumps(before)}")
    assert page.evaluate(SAMPLES) == 16
    assert page.evaluate("document.querySelectorAll('.bars li').length") == tiny.NUM_CLASSES
    shares = page.evaluate(
        "[...document.querySelectorAll('.bars .share')].map((s) => parseFloat(s.textContent))"
    )
    assert abs(sum(shares) - 100) < 0.5
    page.click(".tools button")  # Clear
    page.wait_for(f"{STATUS}.startsWith('Nothing given')")


def test_what_was_drawn_can_be_erased(page):
    def stroke():
        left, top, width, height = page.box(".pad canvas")
        page.drag([(left + width * x, top + height * 0.5) for x in (0.2, 0.8)])

    blank = pixels(page, ".seen canvas")
    stroke()
    given(page, "image")
    assert pixels(page, ".seen canvas") != blank
    page.click(".tools [aria-pressed]")
    stroke()
    assert pixels(page, ".seen canvas") == blank
    page.click(".tools [aria-pressed]")
    assert page.evaluate("document.querySelector('.tools [aria-pressed=true]')") is None


def test_what_is_shown_is_what_the_model_gives(page, model):
    page.click("[name=class-label][value='3']")
    given(page, "label")
    page.evaluate("document.querySelector('#seed').value = 5")
    page.evaluate("document.querySelector('#seed').dispatchEvent(new Event('input'))")
    page.wait_for("document.querySelector('#request').textContent.includes('5,')")
    zeros = tiny.make_batch()["x"]
    one = {name: value[:1] * 0 for name, value in zeros.items()}
    one["label"][:] = 3
    mask = {"image": [0.0], "label": [1.0], "reading": [0.0]}
    expected = model.generate(one, 16, mask, seed=[5, 0], temperature=1.0)
    means = expected["label"].numpy()[:, 0].mean(0)
    page.wait_for(
        "[...document.querySelectorAll('.bars .share')].every((share, i) => "
        f"Math.abs(parseFloat(share.textContent) - 100 * {means.tolist()}[i]) < 0.1)"
    )


def test_temperature_zero_makes_all_samples_one(page):
    page.evaluate("document.querySelector('#temperature').value = 0")
    page.evaluate("document.querySelector('#temperature').dispatchEvent(new Event('input'))")
    page.wait_for(
        "new Set([...document.querySelectorAll('#samples canvas')].map((c) => c.toDataURL()))"
        ".size === 1"
    )
    assert page.evaluate("document.querySelector('#temperature-value').textContent") == "0.00"


def test_drawing_again_takes_another_seed(page):
    before = pixels(page, "#samples canvas")
    page.click("#again")
    page.wait_for(f"document.querySelector('#samples canvas').toDataURL() !== {json.dumps(before)}")
    assert page.evaluate("document.querySelector('#seed').value") != "1"


def test_an_image_file_is_taken(page):
    # A PNG that the browser makes, dropped on the pad.
    page.evaluate(
        """(async () => {
          const canvas = document.createElement('canvas');
          Object.assign(canvas, { width: 40, height: 40 });
          const pen = canvas.getContext('2d');
          pen.fillStyle = '#fff';
          pen.fillRect(0, 0, 40, 20);
          const blob = await new Promise((done) => canvas.toBlob(done));
          const transfer = new DataTransfer();
          transfer.items.add(new File([blob], 'half.png', { type: 'image/png' }));
          document.querySelector('.pad').dispatchEvent(
            new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
        })()"""
    )
    given(page, "image")
    seen = page.evaluate(
        "[...document.querySelector('.seen canvas').getContext('2d')"
        ".getImageData(0, 0, 4, 4).data].filter((_, i) => i % 4 === 0)"
    )
    # Its edges are smoothed.
    assert [round(value / 255) for value in seen] == [1] * 8 + [0] * 8


def test_numbers_and_a_generated_image_are_given(page):
    page.click("[data-name=reading] .numbers input")
    page.call("Input.insertText", text="2.5")
    given(page, "reading")
    page.click("#samples li:nth-child(2) button")
    given(page, "image", "reading")


def test_it_names_every_control_for_those_who_do_not_see_it(page):
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    kinds = {"button", "checkbox", "radio", "slider", "spinbutton", "textbox"}
    controls = [n for n in tree if n.get("role", {}).get("value") in kinds]
    assert len(controls) > 20
    assert [n for n in controls if not n.get("name", {}).get("value")] == []


def test_another_model_gets_an_explanation(tab, tmp_path):
    save_stranger(tmp_path / "1")
    with serving(tmp_path) as client:
        tab.go(f"http://{client.address[0]}:{client.address[1]}/")
        tab.wait_for("!document.querySelector('#problem').hidden")
        assert "tf_mvae.export" in tab.evaluate("document.querySelector('#problem').textContent")
        assert "logarithm" in tab.evaluate("document.querySelector('#intro').textContent")


def test_a_token_is_asked_for_and_links_carry_it(tab, client):
    export = client.repository._settings.model_dir
    with serving(export, "tiny", token="s3cret") as guarded:
        page = f"http://{guarded.address[0]}:{guarded.address[1]}/"
        tab.go(page)
        tab.wait_for("!document.querySelector('#token-form').hidden")
        tab.evaluate("document.querySelector('#token').value = 's3cret'")
        tab.click("#token-form button")
        tab.wait_for(f"{SAMPLES} === 16")
        for link, words in (
            ("openapi.json", "TensorFlow Serving"),
            ("metrics", "tf_mvae_requests"),
        ):
            tab.click(f"footer [href='{link}']")
            tab.wait_for("location.protocol === 'blob:' && document.readyState === 'complete'")
            assert words in tab.evaluate("document.body.textContent")
            tab.go(page)
            tab.wait_for(f"{SAMPLES} === 16")


def test_a_server_that_is_gone_is_said_plainly(tab, client):
    export = client.repository._settings.model_dir
    with serving(export, "tiny") as ending:
        tab.go(f"http://{ending.address[0]}:{ending.address[1]}/")
        tab.wait_for(f"{SAMPLES} === 16")
    tab.click("#again")
    tab.wait_for("!document.querySelector('#problem').hidden")
    problem = tab.evaluate("document.querySelector('#problem').textContent")
    assert problem.startswith("The server does not answer") and "fetch" not in problem
    assert tab.evaluate(SAMPLES) == 0
    assert tab.evaluate("document.querySelector('#averages').childElementCount") == 0
    assert tab.evaluate(f"{STATUS} + document.querySelector('#request').textContent") == ""


@pytest.mark.parametrize(
    ("part", "drawn"),
    [
        ({"shape": [28, 28, 1], "is_image": True}, True),
        ({"shape": [28, 28, 3]}, True),
        ({"shape": [28, 28, 4], "is_image": False}, False),
        ({"shape": [28, 28], "low": 0, "high": 1}, True),
        ({"shape": [28, 28], "low": None, "high": None}, False),
        ({"shape": [4, 4], "low": 0, "high": 1}, False),
        ({"shape": [28, 28], "low": 0, "high": 1, "dtype": "int32"}, False),
        ({"shape": [784], "low": 0, "high": 1}, False),
        ({"shape": []}, False),
    ],
    ids=str,
)
def test_only_pictures_become_a_pad(tab, client, part, drawn):
    tab.go(f"http://{client.address[0]}:{client.address[1]}/")
    part = json.dumps({"dtype": "float32", **part})
    script = f"import('./page/pictures.js').then((m) => m.isImage({part}))"
    assert tab.evaluate(script) is drawn
