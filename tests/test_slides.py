from nbformat import v4

from helpers.slides import KINDS, with_slides


def code(lines, **metadata):
    return v4.new_code_cell("\n".join(["x = 1"] * lines), metadata=metadata)


def text(source="One sentence."):
    return v4.new_markdown_cell(source)


def picture():
    output = v4.new_output("display_data", data={"image/png": "", "text/plain": "<Figure>"})
    return v4.new_code_cell("show_pictures(pictures)", outputs=[output])


def kinds(*cells):
    slides = with_slides(v4.new_notebook(cells=list(cells))).cells
    return [cell.metadata.slideshow.slide_type for cell in slides]


def test_a_heading_begins_a_slide():
    assert kinds(text("# 01 T"), code(2), text("Now:\n\n## Next"), code(3), text("### Small")) == [
        *("slide", "-", "slide", "-", "-"),
    ]


def test_what_no_longer_fits_goes_on_below():
    assert kinds(text("## T"), code(12), code(12)) == ["slide", "-", "subslide"]
    assert kinds(text("## T"), picture(), text(), picture()) == ["slide", "-", "subslide", "-"]
    printed = v4.new_output("stream", text="a line\n" * 20)
    assert kinds(text("## T"), v4.new_code_cell("f()", outputs=[printed]), text()) == [
        *("slide", "-", "subslide"),
    ]


def test_code_stays_with_the_text_before_it():
    assert kinds(text("## T"), code(4), text(), code(18)) == ["slide", "-", "subslide", "-"]
    assert kinds(text("## T"), code(18)) == ["slide", "-"]


def test_the_check_stays_with_its_exercise():
    assert kinds(text("## T"), code(18), code(1)) == ["slide", "-", "-"]


def test_a_comment_in_code_is_no_heading():
    assert kinds(text("## T"), v4.new_code_cell("# a comment"))[1] == "-"


def test_what_an_author_chose_stays():
    chosen = code(2, slideshow={"slide_type": "skip"})
    assert kinds(text("## T"), chosen, code(2, slideshow={"slide_type": "?"})) == [
        *("slide", "skip", "-"),
    ]
    notebook = v4.new_notebook(cells=[text("## T")])
    assert all(cell.metadata.slideshow.slide_type in KINDS for cell in with_slides(notebook).cells)
    assert "slideshow" not in notebook.cells[0].metadata


def test_twice_is_once():
    once = with_slides(v4.new_notebook(cells=[text("## T"), code(12), code(12), text(), picture()]))
    assert with_slides(once) == once
