"""The page in a real browser: a picture dropped, words typed, a slider moved, a result followed."""

from __future__ import annotations

import base64
import shutil
from urllib.parse import urlsplit

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
if not CHROMIUM:
    pytest.skip("there is no Chromium on this machine", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ASKED = "#entry=00003.png&text=is blue"
DROP = """([data, name]) => {
  const bytes = Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, { type: "image/png" }));
  for (const kind of ["dragover", "drop"]) {
    const event = new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true });
    document.querySelector("#drop").dispatchEvent(event);
  }
}"""


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        # As root, which containers are, Chromium has no sandbox; it sees this test's page alone.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Page:
    """The page, and all that it asked for and complained of."""

    def __init__(self, page, port, at) -> None:
        self.page, self.asked, self.wrong = page, [], []
        self.address = f"http://127.0.0.1:{port}/"
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda said: self.wrong.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.goto(self.address + at)
        self.settled()

    def settled(self) -> None:
        """Wait until nothing is asked any more."""
        self.page.wait_for_selector('#columns[aria-busy="false"] .hit')

    def travel(self, how: str) -> None:
        """Do what changes the place in the history, and wait for that."""
        self.page.evaluate(
            "(how) => new Promise((done) => {"
            "addEventListener('popstate', () => setTimeout(done), { once: true });"
            "({ back: () => document.querySelector('#back').click(),"
            "start: () => document.querySelector('#steps .step').click(),"
            "browserBack: () => history.back(), forward: () => history.forward() })[how]();"
            "})",
            how,
        )
        self.settled()

    def columns(self) -> dict[str, list[str]]:
        """Ids of each column, by its title."""
        found = self.page.evaluate(
            "() => [...document.querySelectorAll('.column')].map((column) => [column.ariaLabel, "
            "[...column.querySelectorAll('li')].map((item) => item.dataset.id)])"
        )
        return dict(found)

    def drop(self, path) -> None:
        self.page.evaluate(DROP, [base64.b64encode(path.read_bytes()).decode(), path.name])
        self.settled()

    def type(self, text) -> None:
        self.page.fill("#text", text)
        self.settled()

    def slide(self, strength) -> None:
        self.page.fill("#strength", str(strength))
        self.settled()

    def focused(self) -> str:
        return self.page.evaluate(
            "() => document.activeElement.id || document.activeElement.closest('li')?.dataset.id"
        )

    def press(self, *keys) -> str:
        for key in keys:
            self.page.keyboard.press(key)
        return self.focused()


@pytest.fixture
def opened(browser):
    """Opens a server's page; in the end it has asked for nothing elsewhere, and complained of
    nothing."""
    pages = []

    def open_page(client, at="", **how):
        context = browser.new_context(reduced_motion="reduce", **how)
        pages.append((context, Page(context.new_page(), client.port, at)))
        return pages[-1][1]

    yield open_page
    for context, page in pages:
        hosts = {urlsplit(url).netloc for url in page.asked if not url.startswith("blob:")}
        assert hosts == {urlsplit(page.address).netloc}
        assert page.wrong == []
        context.close()


def api_columns(client, **asked):
    """Ids of each column, as the API gives them."""
    found = client.search(**asked).json["columns"]
    return [[hit["id"] for hit in column["hits"]] for column in found]


def test_a_picture_is_dropped_and_changed(opened, client, folder):
    page = opened(client)
    assert list(page.columns()) == ["All pictures"]

    page.drop(folder / "00003.png")
    assert list(page.columns()) == ["Like this picture"]
    assert page.page.get_attribute("#picked img", "alt") == "Reference: 00003.png"

    picture = (folder / "00003.png").read_bytes()
    page.type("is blue")
    blue = page.columns()
    expected = api_columns(client, picture=picture, text="is blue", strength=[0, 1])
    assert blue == dict(zip(["Base", "Patched"], expected, strict=True))
    assert blue["Base"] != blue["Patched"]
    assert page.page.text_content("#prompt").strip() == "a photo of $ that is blue"
    assert page.page.locator("#prompt img").count() == 1

    page.type("has three stars")
    stars = page.columns()
    assert stars["Base"] != blue["Base"]
    assert stars["Patched"] != blue["Patched"]

    page.slide(0.3)
    between = page.columns()
    expected = api_columns(client, picture=picture, text="has three stars", strength=[0, 0.3])
    assert between == dict(zip(["Base", "Strength 0.3"], expected, strict=True))
    assert between["Strength 0.3"] != stars["Patched"]
    page.slide(0)
    assert page.columns() == {"Base": stars["Base"], "Strength 0": stars["Base"]}


def test_places_are_compared_with_the_base(opened, client):
    page = opened(client, ASKED)
    page.page.select_option("#k", "60")
    page.settled()
    columns = page.columns()
    base, patched = columns["Base"], columns["Patched"]
    said = page.page.evaluate(
        "() => [...document.querySelectorAll('.column')].map((column) => "
        "[...column.querySelectorAll('.moved')].map((sign) => sign.hidden ? '' : sign.textContent))"
    )
    assert said[0] == [""] * 59
    assert {sign[:1] for sign in said[1]} == {"", "▲", "▼"}
    for place, (identity, sign) in enumerate(zip(patched, said[1], strict=True)):
        before = base.index(identity)
        if before == place:
            assert sign == ""
        else:
            assert sign == f"{'▲' if before > place else '▼'}{abs(before - place)}"
    changed = sum(one != other for one, other in zip(base, patched, strict=True))
    heads = page.page.locator(".column h2 span").all_text_contents()
    assert heads == ["", f"{changed} of 59 places changed"]


def test_what_the_base_does_not_show_is_new(opened, client):
    page = opened(client, ASKED)
    columns = page.columns()
    new = [identity not in columns["Base"] for identity in columns["Patched"]]
    signs = page.page.locator(".column[aria-label=Patched] .moved").all_text_contents()
    assert [sign == "new" for sign in signs] == new
    assert any(new)


def test_a_result_is_followed_and_the_way_back(opened, client, folder):
    page = opened(client)
    page.drop(folder / "00003.png")
    page.type("is blue")
    before = page.columns()
    followed = before["Patched"][2]
    page.page.locator(f'.column[aria-label=Patched] li[data-id="{followed}"] button').click()
    page.settled()
    assert page.columns() == {"Like this picture": api_columns(client, entry=followed)[0]}
    assert page.focused() == "text"
    page.type("is red")
    expected = api_columns(client, entry=followed, text="is red", strength=[0, 1])
    assert [*page.columns().values()] == expected
    steps = page.page.locator("#steps .step").all_text_contents()
    assert steps == ["start", "is blue", "is red"]

    page.travel("back")
    assert page.columns() == before
    assert page.page.input_value("#text") == "is blue"
    assert page.page.locator("#steps [aria-current]").text_content() == "is blue"
    page.travel("forward")
    assert [*page.columns().values()] == expected
    page.travel("start")
    assert list(page.columns()) == ["All pictures"]


def test_rivals_are_shown_beside(opened, client):
    page = opened(client, ASKED)
    page.page.check("[value=sum]")
    page.page.check("[value=slerp]")
    page.settled()
    assert list(page.columns()) == ["Base", "Patched", "Sum", "Slerp"]


def test_all_of_it_by_the_keyboard(opened, client):
    page = opened(client)
    first = page.columns()["All pictures"]
    order = [page.press("Tab") for _ in range(8)]
    skip, sum_, slerp = None, None, None
    assert order == [skip, "pick", "text", "strength", sum_, slerp, "k", first[0]]
    assert page.press("ArrowRight") == first[1]
    assert page.press("ArrowRight", "ArrowLeft") == first[1]
    below = page.press("ArrowDown")
    assert below in first[5:]
    assert page.press("ArrowUp") == first[1]
    assert page.press("End") == first[-1]
    assert page.press("Home", "ArrowRight") == first[1]
    assert page.press("Tab") not in first  # one stop for all of them
    assert page.press("Shift+Tab") == first[1]
    outline = page.page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    assert page.press("Enter") == "text"
    page.settled()
    assert page.page.get_attribute("#picked img", "alt") == f"Reference: {first[1]}"
    page.page.keyboard.type("is blue")
    page.page.keyboard.press("Enter")
    page.settled()
    columns = page.columns()
    assert page.press("Tab") == "strength"
    page.press("ArrowLeft", "ArrowLeft")
    page.settled()
    assert list(page.columns()) == ["Base", "Strength 0.9"]
    page.press("ArrowRight", "ArrowRight")
    page.settled()
    assert page.columns() == columns
    steps = 2
    order = [page.press("Tab") for _ in range(3 + 1 + steps + 1)]
    assert order[2] == "k"
    assert order[3] == "back"
    assert order[-1] == columns["Base"][0]
    row = page.page.evaluate(
        "() => [...document.querySelectorAll('.hit')].filter((hit) => hit.getBoundingClientRect()"
        ".top === document.activeElement.getBoundingClientRect().top).length"
    )
    assert page.press(*["ArrowRight"] * (row // 2)) == columns["Patched"][0]
    page.travel("browserBack")
    assert list(page.columns()) == ["All pictures"]


def test_without_a_patch_there_is_one_column_and_how_to_get_one(opened, plain_client, folder):
    page = opened(plain_client)
    assert page.page.text_content("#note code") == "rtd patch"
    assert not page.page.is_visible("#strength")
    page.drop(folder / "00003.png")
    page.type("is blue")
    assert list(page.columns()) == ["Base"]


def test_what_is_wrong_is_said_and_passes(opened, client, folder, tmp_path, searcher, monkeypatch):
    page = opened(client)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture at all")
    page.drop(folder / "00003.png")
    kept = page.columns()
    page.page.evaluate(DROP, [base64.b64encode(broken.read_bytes()).decode(), "broken.png"])
    page.page.wait_for_selector("#problem:visible")
    assert "cannot be read as a picture" in page.page.text_content("#problem")
    assert page.columns() == kept
    page.travel("back")
    assert not page.page.is_visible("#problem")
    page.wrong.clear()  # the browser notes the 422


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (820, "light"), (1360, "dark")])
def test_it_fits_and_can_be_read(opened, client, width, scheme):
    size = {"width": width, "height": 800}
    page = opened(client, ASKED, viewport=size, color_scheme=scheme)
    assert page.page.evaluate("() => document.documentElement.scrollWidth") <= width
    boxes = [box.bounding_box() for box in page.page.locator(".column").all()]
    stacked = boxes[1]["y"] > boxes[0]["y"]
    assert stacked == (width == 390)
    for selector in ("body", ".status", ".column > p", ".line span", ".moved:not([hidden])"):
        assert page.page.evaluate(CONTRAST, selector) >= 4.5, selector


CONTRAST = """(selector) => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let least = Infinity;
  for (const element of document.querySelectorAll(selector)) {
    let under = element;
    let back;
    do {
      back = numbers(getComputedStyle(under).backgroundColor);
      under = under.parentElement;
    } while (back.length === 4 && back[3] === 0 && under);
    const both = [light(numbers(getComputedStyle(element).color)), light(back)];
    least = Math.min(least, (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05));
  }
  return least;
}"""


def test_every_control_has_a_name(opened, client):
    page = opened(client)
    unnamed = page.page.evaluate(
        "() => [...document.querySelectorAll('button, input:not([hidden]), select')].filter("
        "(one) => !(one.ariaLabel || one.textContent.trim() || one.labels?.length)).map((one) => "
        "one.outerHTML)"
    )
    assert unnamed == []
